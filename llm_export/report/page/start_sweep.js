openForPrint();
for (const table of document.querySelectorAll("table.sortable")) sortable(table);
scatter(document.getElementById("scatter"), data.axes, data.points);
