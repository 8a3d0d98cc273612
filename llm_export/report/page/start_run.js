openForPrint();
if (data.spreads && data.spreads.length) strips(document.getElementById("spreads"), data.spreads);
if (data.series && data.series.length > 1) course(document.getElementById("series"), data.series);
if (data.trees && data.trees.length) {
  icicle(document.getElementById("icicle"), data.trees);
  document.getElementById("module-table").open = false;
}
