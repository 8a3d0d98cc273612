openForPrint();
if (data.spreads && data.spreads.length) strips(document.getElementById("spreads"), data.spreads);
if (data.trees && data.trees.length) {
  icicle(document.getElementById("icicle"), data.trees);
  document.getElementById("module-table").open = false;
}
