// Each repetition of a measurement as a dot, with their median.
function strips(figure, spreads) {
  drawn(figure, (width) => {
    const row = 74, right = Math.max(60, width - 12);
    const svg = d3.select(figure).html("").append("svg").attr("class", "samples").attr("role", "img")
      .attr("aria-label", spreads.map((s) => `${s.title}: median ${shown(s.median)}, ${d3.min(s.samples)} to ${d3.max(s.samples)}`).join("; "))
      .attr("height", row * spreads.length).attr("viewBox", `0 0 ${width} ${row * spreads.length}`);
    spreads.forEach((spread, index) => {
      const [low, high] = d3.extent(spread.samples);
      const room = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
      const x = d3.scaleLinear([low - room, high + room], [8, right]);
      const g = svg.append("g").attr("transform", `translate(0,${index * row})`);
      const dots = spread.measured ? `${spread.samples.length} repetitions` : "least, median, greatest";
      g.append("text").attr("class", "name").attr("y", 12).text(`${spread.title}: ${shown(spread.median)}`);
      g.append("line").attr("class", "range").attr("x1", x(low)).attr("x2", x(high)).attr("y1", 30).attr("y2", 30);
      g.selectAll("circle").data(spread.samples).join("circle").attr("cx", (d) => x(d)).attr("cy", 30).attr("r", 6)
        .append("title").text((d) => shown(d));
      g.append("line").attr("class", "median").attr("x1", x(spread.median)).attr("x2", x(spread.median)).attr("y1", 20).attr("y2", 40);
      const axis = g.append("g").attr("transform", "translate(0,42)").call(d3.axisBottom(x).ticks(Math.max(3, width / 110)).tickSize(4));
      axis.select(".domain").remove();
      g.append("text").attr("x", right).attr("y", 12).attr("text-anchor", "end").text(width > 300 ? dots : "");
    });
  });
}

function shown(value) { return d3.format(value >= 1000 ? ",.0f" : ".3~g")(value); }

// Speed over the time of a long measurement.
function course(figure, points) {
  drawn(figure, (width) => {
    const height = 190, left = 48, right = width - 10, top = 26, bottom = height - 34;
    const x = d3.scaleLinear([0, d3.max(points, (p) => p[0])], [left, right]);
    const y = d3.scaleLinear([0, d3.max(points, (p) => p[1])], [bottom, top]).nice();
    const svg = d3.select(figure).html("").append("svg").attr("role", "img").attr("height", height)
      .attr("viewBox", `0 0 ${width} ${height}`)
      .attr("aria-label", `Decoding for long: ${shown(points[0][1])} tokens/s at first, ${shown(points.at(-1)[1])} at the end`);
    svg.append("text").attr("class", "name").attr("y", 12).text("decoding for long (tokens/s)");
    svg.append("g").attr("transform", `translate(0,${bottom})`).call(d3.axisBottom(x).ticks(Math.max(3, width / 120)).tickFormat((s) => `${s} s`));
    svg.append("g").attr("transform", `translate(${left},0)`).call(d3.axisLeft(y).ticks(4).tickSize(left - right)).select(".domain").remove();
    svg.append("polyline").attr("class", "course").attr("points", points.map((p) => `${x(p[0])},${y(p[1])}`).join(" "));
  });
}
