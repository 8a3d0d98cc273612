// The model's tree. A cell is as wide as its share; a click or Enter shows what it contains.
function icicle(figure, trees) {
  const height = 36;
  let mode = trees[0], form = "summed", root, focus, current;
  const cells = element("div", { class: "cells", role: "group", "aria-label": "Modules; arrow keys move, Enter opens, Escape goes back" });
  const crumbs = element("ol", { class: "crumbs", "aria-label": "Path" });
  const told = element("p", { class: "told" });
  const legend = element("ul", { class: "legend" });
  const tools = element("div", { class: "tools" },
    ...(trees.length > 1 ? [choice("Measure", trees.map((t) => [t.key, t.title]), mode.key, (key) => { mode = trees.find((t) => t.key === key); rebuild(); })] : []),
    choice("Layers", [["summed", "layers summed"], ["each", "each layer"]], form, (value) => { form = value; rebuild(); }));
  figure.append(tools, crumbs, cells, told, legend);

  const amount = (value) => mode.key === "bytes"
    ? (value >= 1e6 ? `${(value / 1e6).toFixed(1)} MB` : `${(value / 1e3).toFixed(1)} kB`)
    : `${(value * 1e3).toFixed(3)} ms`;
  const path = (node) => node.ancestors().reverse().map((n) => n.data.n);
  const share = (node) => `${(100 * node.value / root.value).toFixed(1)} %`;
  const kind = (node) => (node.data.k < 0 ? "several kinds" : mode.kinds[node.data.k]);
  const words = (node) => `${path(node).slice(1).join(" › ") || "model"}: ${amount(node.value)}, ${share(node)} of the model; ${kind(node)}`;

  function rebuild() {
    const kept = focus ? path(focus) : [];
    root = d3.hierarchy(mode[form], (d) => d.c).sum((d) => d.v);
    d3.partition()(root);
    focus = kept.slice(1).reduce((node, name) => (node.children || []).find((c) => c.data.n === name) || node, root);
    const tones = d3.group(mode.kinds, (_, i) => mode.tones[i]);
    legend.replaceChildren(...[...tones].map(([tone, names]) => element("li", {}, element("i", { style: `--tone:var(--tone-${tone})` }), names.join(", "))));
    show(focus);
  }

  function show(node, toFocus) {
    focus = node;
    const wide = node.x1 - node.x0;
    const visible = node.descendants().filter((d) => (d.x1 - d.x0) / wide > 0.0015);
    const deep = d3.max(visible, (d) => d.depth) - node.depth + 1;
    cells.style.height = `${deep * height}px`;
    current = node;
    cells.replaceChildren(...visible.map((d) => cell(d, wide)));
    crumbs.replaceChildren(...node.ancestors().reverse().map((d) => element("li", {},
      element("button", { type: "button", "aria-current": d === node ? "true" : null, click: () => show(d, true) }, d.data.n))));
    told.textContent = words(node);
    if (toFocus) of(node).focus();
  }

  function cell(d, wide) {
    const part = (d.x1 - d.x0) / wide;
    const tone = d.data.k < 0 ? "mixed" : mode.tones[d.data.k];
    const made = element("button", {
      type: "button", tabindex: d === current ? "0" : "-1", "aria-label": words(d), class: part * cells.clientWidth < 34 ? "thin" : null,
      style: `left:${100 * (d.x0 - focus.x0) / wide}%;width:${100 * part}%;top:${(d.depth - focus.depth) * height}px;height:${height}px;--tone:var(--tone-${tone})`,
      click: () => { if (d === focus) { if (d.parent) show(d.parent, true); } else if (d.children) show(d, true); else tell(d); },
    }, d.data.n);
    made.node = d;
    made.addEventListener("mouseenter", () => tell(d));
    made.addEventListener("focus", () => { move(d); });
    return made;
  }

  function tell(d) { told.textContent = words(d); }
  function of(d) { return [...cells.children].find((one) => one.node === d); }
  function move(d) {
    for (const one of cells.children) one.tabIndex = one.node === d ? 0 : -1;
    current = d;
    tell(d);
  }

  cells.addEventListener("keydown", (event) => {
    const beside = (step) => { const row = [...cells.children].map((o) => o.node).filter((n) => n.depth === current.depth); return row[row.indexOf(current) + step]; };
    const inside = () => (current.children || []).find(of);
    const to = { ArrowRight: () => beside(1), ArrowLeft: () => beside(-1), ArrowDown: inside, ArrowUp: () => (current === focus ? null : current.parent) }[event.key];
    if (event.key === "Escape" && focus.parent) { event.preventDefault(); show(focus.parent, true); }
    if (!to) return;
    event.preventDefault();
    const next = to();
    if (next) of(next).focus();
  });

  figure.hidden = false;
  rebuild();
  let width = cells.clientWidth;
  new ResizeObserver(() => { if (cells.clientWidth !== width) { width = cells.clientWidth; show(focus); } }).observe(cells);
}
