/* The chart of a month's days: stacked bars, read from the table below it, which says the same to whoever sees no chart.
   Drawn anew when its part of the page arrives, when the theme changes and when the page gets another width. */
(() => {
  "use strict";
  const drawn = new Map();
  const colours = (style) => [1, 2, 3, 4, 5, 6].map((number) => style.getPropertyValue(`--mains-chart-${number}`).trim());
  const cellsOf = (row) => [...row.querySelectorAll("td data")];

  // Dearest first, as the table has them; without parts the only series is the sum.
  const read = (table) => {
    const titles = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent.trim());
    const rows = [...table.tBodies[0].rows], days = rows.map((row) => row.cells[0].textContent.trim());
    const cells = titles.map((_title, column) => rows.map((row) => cellsOf(row)[column]));
    const parts = titles.length > 1 ? titles.length - 1 : 1;
    return {days, titles: titles.slice(0, parts), cells: cells.slice(0, parts)};
  };
  // Bars stand behind each other: each is as high as its own part and all that come after it.
  const stacked = (cells) => {
    const tops = cells.map((column) => column.map((cell) => Number(cell.value)));
    for (let part = tops.length - 2; part >= 0; part -= 1) tops[part] = tops[part].map((value, day) => value + tops[part + 1][day]);
    return tops;
  };

  const draw = (box) => {
    const table = document.getElementById(box.dataset.chart);
    if (!table || typeof uPlot === "undefined") return;
    const style = getComputedStyle(document.documentElement), shades = colours(style);
    const muted = style.getPropertyValue("--mains-muted").trim(), line = style.getPropertyValue("--mains-line").trim();
    const {days, titles, cells} = read(table);
    const money = new Intl.NumberFormat(document.documentElement.lang, {
      style: "currency", currency: table.dataset.currency, currencyDisplay: "narrowSymbol", notation: "compact", maximumSignificantDigits: 3});
    const axis = {stroke: muted, grid: {stroke: line, width: 1}, ticks: {show: false}, font: `12px ${getComputedStyle(box).fontFamily}`};
    const options = {
      width: Math.max(240, box.clientWidth), height: 240, cursor: {drag: {x: false, y: false}, points: {show: false}},
      scales: {x: {time: false, range: [-0.6, Math.max(days.length, 7) - 0.4]}, y: {range: (_plot, _low, high) => [0, high > 0 ? high * 1.08 : 1]}},
      axes: [{...axis, grid: {show: false}, space: 46, incrs: [1, 2, 5, 7, 10], values: (_plot, splits) => splits.map((at) => (days[at] || "").slice(5))},
             {...axis, size: 72, values: (_plot, splits) => splits.map((value) => money.format(value))}],
      series: [{label: table.tHead.rows[0].cells[0].textContent, value: (_plot, at) => days[at] ?? "–"}, ...titles.map((title, part) => ({
        label: title, fill: shades[part % shades.length], stroke: shades[part % shades.length], width: 0, points: {show: false},
        paths: uPlot.paths.bars({size: [0.72, 44]}), value: (_plot, _top, _series, at) => cells[part][at]?.textContent ?? "–"}))],
    };
    drawn.get(box)?.destroy();
    drawn.set(box, new uPlot(options, [days.map((_day, at) => at), ...stacked(cells)], box));
  };
  const drawAll = () => {
    for (const [box, plot] of drawn) if (!box.isConnected) { plot.destroy(); drawn.delete(box); }
    document.querySelectorAll("[data-chart]").forEach(draw);
  };

  let waiting = 0;
  const soon = () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(drawAll); };
  document.addEventListener("htmx:afterSettle", (event) => { if (event.target.querySelector?.("[data-chart]")) soon(); });
  addEventListener("resize", soon);
  new MutationObserver(soon).observe(document.documentElement, {attributes: true, attributeFilter: ["data-bs-theme"]});
  soon();
})();
