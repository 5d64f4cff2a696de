/* The charts of an instance's measurements: fetched from the API, drawn by uPlot, and gone on with while somebody looks. The table
   below them says the same to whoever sees no chart. */
(() => {
  "use strict";
  const root = document.getElementById("metrics");
  if (!root || typeof uPlot === "undefined") return;
  const length = Number(root.dataset.length), step = Number(root.dataset.step), lang = document.documentElement.lang || "en";
  const plots = new Map();
  let points = [];

  const number = new Intl.NumberFormat(lang, {maximumFractionDigits: 2});
  const inUnits = (value, units, base) => {
    let at = 0;
    while (Math.abs(value) >= base && at < units.length - 1) { value /= base; at += 1; }
    return `${number.format(value)} ${units[at]}`.trim();
  };
  const bytes = (value) => inUnits(value, ["B", "KiB", "MiB", "GiB", "TiB"], 1024);
  const words = {percent: (value) => `${number.format(value)} %`, bytes, rate: (value) => `${bytes(value)}/s`,
                 count: (value) => inUnits(value, ["", "k", "M", "G"], 1000)};
  // Round steps of an axis: of bytes those of 1024.
  const binary = Array.from({length: 42}, (_one, power) => 2 ** power);

  const linesOf = (box) => [...box.querySelectorAll("[data-line]")].map((line) => (
    {field: line.dataset.line, label: line.dataset.label, aside: "aside" in line.dataset}));
  // Where nothing was measured for longer than steps are apart, the line is broken.
  const columnsOf = (lines) => {
    const columns = [[], ...lines.map(() => [])];
    points.forEach((point, at) => {
      if (at && point.time - points[at - 1].time > step * 2.5) {
        columns[0].push(points[at - 1].time + step);
        lines.forEach((_line, number) => columns[number + 1].push(null));
      }
      columns[0].push(point.time);
      lines.forEach((line, number) => columns[number + 1].push(point[line.field]));
    });
    return columns;
  };

  const optionsOf = (box, lines) => {
    const style = getComputedStyle(document.documentElement), unit = box.dataset.unit, aside = lines.some((line) => line.aside);
    const shade = (place) => style.getPropertyValue(`--mains-chart-${place + 1}`).trim();
    const axis = {stroke: style.getPropertyValue("--mains-muted").trim(), ticks: {show: false},
                  grid: {stroke: style.getPropertyValue("--mains-line").trim(), width: 1}, font: `12px ${getComputedStyle(box).fontFamily}`};
    const clock = new Intl.DateTimeFormat(lang, length > 86400 ? {month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false}
      : {hour: "2-digit", minute: "2-digit", hour12: false});
    const day = new Intl.DateTimeFormat(lang, {month: "numeric", day: "numeric"});
    const exact = new Intl.DateTimeFormat(lang, {dateStyle: "short", timeStyle: "medium", hour12: false});
    const upTo = (least) => (_plot, _low, high) => [0, Math.max((high || 0) * 1.1, least)];
    return {
      width: Math.max(240, box.clientWidth), height: 220, cursor: {drag: {x: false, y: false}, sync: {key: "metrics"}},
      scales: {x: {range: () => { const now = Date.now() / 1000; return [now - length, now]; }},
               y: {range: unit === "percent" ? [0, 100] : upTo(unit === "rate" ? 1024 : 1)}, ...(aside ? {aside: {range: upTo(1)}} : {})},
      axes: [{...axis, grid: {show: false}, size: 32, space: length > 86400 ? 76 : 56,
              values: (_plot, splits) => splits.map((at) => (length >= 604800 ? day : clock).format(at * 1000))},
             {...axis, size: 76, ...(unit === "percent" ? {} : {incrs: binary}), values: (_plot, splits) => splits.map(words[unit])},
             ...(aside ? [{...axis, side: 1, scale: "aside", size: 44, grid: {show: false}, values: (_plot, splits) => splits.map(words.count)}] : [])],
      series: [{label: root.dataset.time, value: (_plot, at) => (at === null ? "–" : exact.format(at * 1000))},
               ...lines.map((line, place) => ({
                 label: line.label, stroke: shade(place), width: line.aside ? 1 : 1.75, points: {show: points.length < 40, size: 5}, scale: line.aside ? "aside" : "y",
                 ...(line.aside ? {dash: [4, 3]} : place ? {} : {fill: `${shade(place)}22`}),
                 value: (_plot, value) => (value === null || value === undefined ? "–" : words[line.aside ? "count" : unit](value))}))],
    };
  };

  const draw = () => {
    root.hidden = !points.length;
    document.getElementById("nothing-measured").hidden = Boolean(points.length);
    if (!points.length) return;
    for (const box of root.querySelectorAll("[data-plot]")) {
      // What nobody tells has no line: a guest without a balloon's driver says nothing of its memory.
      const lines = linesOf(box).filter((line) => points.some((point) => point[line.field] !== null));
      plots.get(box)?.destroy();
      plots.set(box, new uPlot(optionsOf(box, lines), columnsOf(lines), box));
    }
    requestAnimationFrame(tellNewest); // after uPlot has put its pointer nowhere
  };
  // The legend tells what the pointer is at, and the newest figures when it is nowhere.
  const tellNewest = () => plots.forEach((plot) => plot.setLegend({idx: plot.data[0].length - 1}));

  // One notice: that nobody answers, or what the portal says to a question that it refuses.
  const notice = document.getElementById("not-fetched"), said = notice.querySelector("span"), away = said.textContent;
  const tell = (text) => { said.textContent = text; notice.hidden = !text; };
  const refusalOf = async (answer) => {
    const {detail, errors} = await answer.json().catch(() => ({}));
    const words = Object.values(errors || {}).flat().join(" ") || detail || String(answer.status);
    return Object.assign(new Error(words), {words, status: answer.status});
  };

  const fetchFrom = async (since) => {
    const query = new URLSearchParams({from: new Date(since * 1000).toISOString(), step: String(step)});
    const answer = await fetch(`${root.dataset.metrics}?${query}`, {headers: {Accept: "application/json"}});
    if (answer.status >= 500) throw new Error(String(answer.status));
    if (!answer.ok) throw await refusalOf(answer);
    return (await answer.json()).points.map((point) => ({...point, time: Date.parse(point.at) / 1000}));
  };

  let isRefused = false;
  // The last step may have been told before it was over: it is asked for again, and what is known of it replaced.
  const goOn = async () => {
    if (isRefused) return;
    const now = Date.now() / 1000, since = points.length ? points[points.length - 1].time : now - length + 1;
    let fresh;
    try {
      fresh = await fetchFrom(Math.max(since, now - length + 1));
    } catch (fault) {
      // Asked again it would be refused again, unless it was only asked too often.
      isRefused = Boolean(fault.words) && fault.status !== 429;
      tell(fault.words || away);
      return;
    }
    const first = fresh.length ? fresh[0].time : Infinity;
    points = [...points.filter((point) => point.time < first && point.time >= now - length), ...fresh];
    tell("");
    draw();
  };

  let waiting = 0;
  const soon = () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(draw); };
  addEventListener("resize", soon);
  new MutationObserver(soon).observe(document.documentElement, {attributes: true, attributeFilter: ["data-bs-theme"]});
  root.addEventListener("mouseleave", tellNewest);
  const timer = setInterval(() => {
    if (!root.isConnected || isRefused) clearInterval(timer);
    else if (!document.hidden) goOn();
  }, Math.max(15, Math.min(step, 60)) * 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) goOn(); });
  goOn();
})();
