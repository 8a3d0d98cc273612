// Variants by two measures of choice; a dot is the larger, the faster the variant decodes. The line
// joins those that no other beats in both measures.
function scatter(figure, axes, points) {
  const index = (text) => axes.findIndex((axis) => axis.title.startsWith(text));
  const judged = axes.map((axis, i) => i).filter((i) => axes[i].higher !== null);
  let x = index("size"), y = judged.find((i) => !["size", "time", "decode", "peak"].some((w) => axes[i].title.startsWith(w)));
  if (x < 0) x = judged[0];
  if (y === undefined) y = judged.find((i) => i !== x);
  const speed = index("decode");
  if (x === undefined || y === undefined || points.length < 1) return;

  const select = (label, chosen, choose) => {
    const made = element("select", {}, ...judged.map((i) => element("option", { value: i, ...(i === chosen ? { selected: "" } : {}) }, axes[i].title)));
    made.addEventListener("change", () => choose(Number(made.value)));
    return element("label", {}, `${label} `, made);
  };
  let width = 0;
  const again = () => width && draw(width);
  const place = element("div"), told = element("p", { class: "told", "aria-live": "polite" });
  figure.append(element("div", { class: "tools" }, select("Across", x, (i) => { x = i; again(); }), select("Up", y, (i) => { y = i; again(); })), place, told);
  told.textContent = "Choose a dot to see its variant.";

  function draw(now) {
    width = now;
    const height = Math.min(440, Math.max(300, width * 0.5)), left = 58, bottom = 46, top = 34, right = 16;
    const known = points.filter((p) => p.values[x] !== null && p.values[y] !== null);
    const svg = d3.select(place).html("").append("svg").attr("height", height).attr("viewBox", `0 0 ${width} ${height}`)
      .attr("role", "group").attr("aria-label", `${axes[y].title} against ${axes[x].title}`);
    const scale = (i, range) => {
      const [low, high] = d3.extent(known, (p) => p.values[i]);
      // A variant without any loss would press all others together: below, dots lie on the edge.
      if (low > 0 && high / low > 30) return d3.scaleLog([Math.max(low, high / 3000) / 1.5, high * 1.5], range).clamp(true);
      const room = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
      return d3.scaleLinear([low - room, high + room], range).nice();
    };
    const across = scale(x, [left, width - right]), up = scale(y, [height - bottom, top]);
    const fast = d3.max(known, (p) => p.values[speed]) || 1;
    const radius = (p) => (speed < 0 || p.values[speed] === null ? 6 : 4 + 6 * Math.sqrt(p.values[speed] / fast));
    const ticks = (axis, scale, count) => {
      const all = scale.ticks(count), tens = all.filter((t) => Number.isInteger(Math.round(1e9 * Math.log10(t)) / 1e9));
      return scale.base ? axis.tickValues(tens.length > 1 ? tens : all).tickFormat(d3.format(".2~g")) : axis.ticks(count);
    };
    svg.append("g").attr("transform", `translate(0,${height - bottom})`).call(ticks(d3.axisBottom(across), across, Math.max(3, width / 140)));
    svg.append("g").attr("transform", `translate(${left},0)`).call(ticks(d3.axisLeft(up), up, 6).tickSize(-(width - left - right)))
      .select(".domain").remove();
    const hint = (i) => `${axes[i].title}, ${axes[i].higher ? "higher" : "lower"} is better`;
    svg.append("text").attr("x", width - right).attr("y", height - 6).attr("text-anchor", "end").text(hint(x));
    svg.append("text").attr("x", 0).attr("y", 12).text(`↑ ${hint(y)}`);

    const rank = (p, i) => (axes[i].higher ? -p.values[i] : p.values[i]);
    const beats = (a, b) => rank(a, x) <= rank(b, x) && rank(a, y) <= rank(b, y) && (rank(a, x) < rank(b, x) || rank(a, y) < rank(b, y));
    const front = new Set(known.filter((p) => !known.some((other) => beats(other, p))));
    const line = [...front].sort((a, b) => a.values[x] - b.values[x]).map((p) => `${across(p.values[x])},${up(p.values[y])}`);
    svg.append("polyline").attr("class", "line").attr("points", line.join(" "));
    const dots = svg.selectAll(".dot").data(known).join("g").attr("class", (p) => (front.has(p) ? "dot front" : "dot"))
      .attr("tabindex", 0).attr("role", "button").attr("transform", (p) => `translate(${across(p.values[x])},${up(p.values[y])})`)
      .attr("aria-label", (p) => `${p.name}: ${axes[x].title} ${p.texts[x]}, ${axes[y].title} ${p.texts[y]}${front.has(p) ? ", on the front" : ""}`)
      .on("mouseenter focus click", (event, p) => tell(event.currentTarget, p, front.has(p)))
      .on("keydown", (event, p) => { if (event.key === "Enter" && p.href) location.href = p.href; });
    dots.append("circle").attr("r", radius);
    if (width > 640) name(svg, known, across, up, radius);
  }

  // Names beside the dots, those on the left half to their right, where no other name stands.
  function name(svg, known, across, up, radius) {
    const taken = known.map((p) => ({ left: across(p.values[x]) - 9, right: across(p.values[x]) + 9, at: up(p.values[y]), of: p }));
    for (const p of known) {
      const ahead = across(p.values[x]) > width * 0.7, at = up(p.values[y]);
      const start = across(p.values[x]) + (ahead ? -radius(p) - 5 : radius(p) + 5);
      const text = svg.append("text").attr("class", "name").attr("x", start).attr("y", at + 4).attr("text-anchor", ahead ? "end" : "start").text(p.name);
      const length = text.node().getComputedTextLength();
      const box = { left: ahead ? start - length : start, right: ahead ? start : start + length, at, of: p };
      const free = taken.every((o) => o.of === p || Math.abs(o.at - at) > 15 || o.left > box.right || o.right < box.left);
      if (free) taken.push(box);
      else text.remove();
    }
  }

  function tell(dot, p, onFront) {
    for (const other of place.querySelectorAll(".dot")) other.classList.toggle("chosen", other === dot);
    const values = axes.map((axis, i) => (p.texts[i] === null ? null : `${axis.title} ${p.texts[i]}`)).filter(Boolean);
    told.replaceChildren(element("strong", {}, p.name), onFront ? " ◆ on the front: " : ": ", values.join(", "), ...(p.href ? [". ", element("a", { href: p.href }, "Open its report")] : []));
  }

  drawn(figure, draw);
}
