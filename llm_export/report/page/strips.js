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
