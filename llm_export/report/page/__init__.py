"""report.html: a run or a sweep as one page that needs no network."""
