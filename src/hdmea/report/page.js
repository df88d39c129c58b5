"use strict";
// The page: sections by the address's #, a table that sorts and filters, units by number.

const data = JSON.parse(document.getElementById("recording").textContent);
const main = document.getElementById("main");
const numeric = data.columns.filter(one => finite(one.values).length);
const wanted = ["rate", "spikes", "violations"];
const find = (...patterns) => patterns.flatMap(pattern => numeric.filter(one => pattern.test(one.name)).slice(0, 1));
const PRESETS = [/^rate$/, /SNR/i, /on_off_index|polarity$/, /latency_ms$/, /preferred_direction$/];
const isAngle = name => /preferred_direction$|direction_angle$|direction_deg$/.test(name);
const state = {
  sort: null, down: false, text: "", ranges: [], page: 0, map: null, x: null, y: null, spread: null, angle: null,
  columns: new Set([...new Set([...data.columns.filter(one => wanted.includes(one.name)), ...find(...PRESETS, /response_quality$/, /dsi$/, /dsi_p_value$/, /center_row$/, /center_col$/)])]),
};
document.getElementById("name").textContent = data.name;

const unitLink = (i, children, more = {}) => put("a", { href: `#unit=${i}`, ...more }, children);

function pairs(rows, heads) {
  if (!rows.length) return nothing("nothing stored");
  return put("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": heads.join(", ") }, put("table", {}, [
    put("thead", {}, put("tr", {}, heads.map(head => put("th", { scope: "col" }, head)))),
    put("tbody", {}, rows.map(row => put("tr", {}, row.map((cell, i) => put(i ? "td" : "th", i ? {} : { scope: "row" }, cell instanceof Node ? cell : shown(cell, 7)))))),
  ]));
}

function choice(name, options, current, change) {
  const select = put("select", { onchange: event => change(options[event.target.selectedIndex]) }, options.map(one => put("option", { selected: one === current }, one.name)));
  return put("label", {}, [name, select]);
}

function overview() {
  const found = data.sections.map(([name, bounds]) => [name, bounds.length, bounds.length ? shown(bounds[0][0], 6) : null, bounds.length ? shown(bounds[bounds.length - 1][1], 6) : null]);
  const facts = [["duration (s)", data.duration], ["units", data.units.length], ["sections", data.sections.length], ["warnings", data.warnings.length], ...data.facts];
  return [
    put("h2", {}, "Overview"), put("div", { class: "grid" }, [lightFigure(), populationFigure()]),
    put("h2", {}, "Recording"), pairs(facts, ["what", "value"]),
    put("h2", {}, "Sections"), pairs(found, ["section", "windows", "from (s)", "to (s)"]),
    put("h2", {}, "Features"), pairs(data.features, ["feature", "made by"]),
    put("h2", {}, "Metadata"), pairs(data.metadata, ["name", "value"]),
  ];
}

function lightFigure() {
  const light = data.light, end = data.duration ?? (light ? light.x[light.x.length - 1] : 0);
  if (!light && !data.sections.length) return figure("Light reference", nothing("no light reference and no sections"), "", true);
  const range = light ? [least(finite(light.low)), most(finite(light.high))] : [0, 1];
  const frame = plane("Light reference", { name: "time (s)", range: [0, end] }, { name: light ? "ADC counts" : "", range }, { width: 1000, height: 250, words: Boolean(light) });
  data.sections.forEach(([name, bounds], k) => {
    for (const [from, to] of bounds) frame.content.append(shape("rect", { x: frame.px(from), y: frame.top, width: Math.max(0.5, frame.px(to) - frame.px(from)), height: frame.base - frame.top, fill: around(200 + 47 * k), stroke: "currentColor", "stroke-width": 0.5, opacity: 0.35 }, shape("title", {}, `${name}: ${shown(from)} to ${shown(to)} s`)));
    if (bounds.length) frame.content.append(shape("text", { x: frame.px((bounds[0][0] + bounds[0][1]) / 2), y: frame.top + 12, "text-anchor": "middle", "font-weight": "bold" }, String(k + 1)));
  });
  if (light) {
    const back = [...light.x].reverse(), low = [...light.low].reverse();
    frame.content.append(shape("path", { class: "grey", d: `${path(light.x, light.high, frame)}${path(back, low, frame).replace("M", "L")}Z` }));
  }
  return figure("Light reference and sections", frame.svg, `${light ? "" : "No light reference is stored. "}Shaded: ${data.sections.map(([name, bounds], k) => `${k + 1} ${name}${bounds.length > 1 ? ` (${bounds.length} windows)` : ""}`).join(", ") || "no sections"}.`, true);
}

function populationFigure() {
  if (!data.population.length) return figure("Rate of the population", nothing("no spikes, or no sampling rate"), "", true);
  const width = data.duration / data.population.length;
  const frame = plane("Rate of the population", { name: "time (s)", range: [0, data.duration] }, { name: "spikes/s a unit", range: [0, most(finite(data.population)) || 1] }, { width: 1000, height: 220 });
  frame.content.append(shape("path", { class: "line", d: path(data.population.map((_, i) => (i + 0.5) * width), data.population, frame) }));
  return figure("Rate of the population", frame.svg, `Mean over ${data.units.length} units, in bins of ${shown(width)} s.`, true);
}

function chip() {
  const placed = data.places.map((place, i) => [place, i]).filter(([place]) => place);
  if (!placed.length) return [put("h2", {}, "Chip"), nothing("no unit has a place on the chip")];
  const options = [...new Set([...find(...PRESETS), ...numeric])];
  const one = state.map ?? options[0], angle = isAngle(one.name), good = finite(one.values).sort((a, b) => a - b);
  const low = good[Math.floor(0.05 * (good.length - 1))], high = good[Math.ceil(0.95 * (good.length - 1))];
  const xs = placed.map(([place]) => place[0]), ys = placed.map(([place]) => place[1]), margin = 2;
  const size = Math.max(most(xs) - least(xs), most(ys) - least(ys)) + 2 * margin;
  const from = (values) => (least(values) + most(values) - size) / 2;
  const frame = plane("Unit map", { name: "column (electrodes)", range: [from(xs), from(xs) + size] }, { name: "row (electrodes)", range: [from(ys), from(ys) + size] }, { width: 700, square: true, down: true });
  for (const [place, i] of placed) {
    const value = one.values[i], known = typeof value === "number", at = { cx: frame.px(place[0]), cy: frame.py(place[1]), r: 6 };
    const dot = shape("circle", known ? { ...at, class: "dot", fill: angle ? around(value) : css(colour((value - low) / (high - low || 1), VIRIDIS)) } : { ...at, class: "hollow" }, shape("title", {}, `${data.units[i]}: ${shown(value)}`));
    frame.content.append(shape("a", { href: `#unit=${i}`, "aria-label": `${data.units[i]}, ${one.name} ${shown(value)}` }, dot));
  }
  const scale = angle ? "The colour is the angle: 0° red, 120° green, 240° blue." : `Violet: ${shown(low)} and less, yellow: ${shown(high)} and more (5 % and 95 % of the units).`;
  const stay = data.places.length - placed.length;
  return [put("h2", {}, "Chip"), put("div", { class: "tools" }, choice("Colour", options, one, next => { state.map = next; show("select"); })),
    figure(one.name, frame.svg, `${scale} Hollow: no value. A unit leads to its page.${stay ? ` ${stay} units have no place.` : ""}`)];
}

function rows() {
  const words = state.text.toLowerCase(), texts = [...state.columns].map(one => one.values);
  const kept = data.units.map((_, i) => i).filter(i =>
    (!words || [data.units[i], ...texts.map(values => values[i])].some(one => one !== null && String(one).toLowerCase().includes(words))) &&
    state.ranges.every(({ of, low, high }) => { const value = of.values[i]; return low === null && high === null || typeof value === "number" && (low === null || value >= low) && (high === null || value <= high); }));
  if (state.sort) {
    const key = state.sort === "unit" ? data.units : state.sort.values;
    const order = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    kept.sort((a, b) => key[a] === null ? (key[b] === null ? 0 : 1) : key[b] === null ? -1 : order(key[a], key[b]) * (state.down ? -1 : 1));
  }
  return kept;
}

const ROWS = 200;

function table() {
  const body = put("div"), number = (name, change) => put("label", {}, [name, put("input", { type: "number", step: "any", style: "width:8rem", oninput: event => { change(event.target.value === "" ? null : Number(event.target.value)); state.page = 0; fillTable(body); } })]);
  const range = state.ranges[0] ?? { of: numeric[0], low: null, high: null };
  state.ranges = range.of ? [range] : [];
  range.low = range.high = null;
  const columns = data.columns.map(one => put("label", { title: one.what }, [put("input", { type: "checkbox", checked: state.columns.has(one), onchange: event => { event.target.checked ? state.columns.add(one) : state.columns.delete(one); fillTable(body); } }), ` ${one.name}`]));
  fillTable(body);
  return [put("h2", {}, "Table"), put("div", { class: "tools" }, [
    put("label", {}, ["Text in a row", put("input", { type: "search", id: "filter", value: state.text, oninput: event => { state.text = event.target.value; state.page = 0; fillTable(body); } })]),
    range.of ? choice("Range of", numeric, range.of, next => { range.of = next; state.page = 0; fillTable(body); }) : null,
    range.of ? number("at least", value => { range.low = value; }) : null, range.of ? number("at most", value => { range.high = value; }) : null,
    put("button", { type: "button", id: "download", onclick: download }, "Download as CSV"),
  ]), put("details", {}, [put("summary", {}, `Columns (${data.columns.length})`), put("div", { class: "columns" }, columns)]), body];
}

function fillTable(body) {
  const kept = rows(), pages = Math.max(1, Math.ceil(kept.length / ROWS)), columns = [...state.columns];
  const head = (name, key, what) => put("th", { scope: "col", "aria-sort": state.sort === key ? (state.down ? "descending" : "ascending") : "none" },
    put("button", { type: "button", title: what, onclick: event => { state.down = state.sort === key && !state.down; state.sort = key; const at = [...body.querySelectorAll("th button")].indexOf(event.currentTarget); fillTable(body); body.querySelectorAll("th button")[at].focus(); } }, `${name}${state.sort === key ? (state.down ? " ▼" : " ▲") : ""}`));
  const cell = value => put("td", { class: typeof value === "number" ? "number" : null }, shown(value));
  const turn = (step, name) => put("button", { type: "button", disabled: state.page + step < 0 || state.page + step >= pages, onclick: () => { state.page += step; fillTable(body); } }, name);
  body.replaceChildren(
    put("p", { role: "status", id: "count" }, `${kept.length} of ${data.units.length} units`),
    put("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Units" }, put("table", { id: "units" }, [
      put("thead", {}, put("tr", {}, [head("unit", "unit", ""), ...columns.map(one => head(one.name, one, one.what))])),
      put("tbody", {}, kept.slice(state.page * ROWS, (state.page + 1) * ROWS).map(i => put("tr", {}, [put("th", { scope: "row" }, unitLink(i, data.units[i])), ...columns.map(one => cell(one.values[i]))]))),
    ])), pages > 1 ? put("div", { class: "tools" }, [turn(-1, "Earlier rows"), put("span", {}, `page ${state.page + 1} of ${pages}`), turn(1, "Later rows")]) : "",
    put("h3", {}, "What the columns are"), pairs(columns.filter(one => one.what).map(one => [one.name, one.what]), ["column", "meaning and unit"]));
}

function csv() {
  const quoted = value => { const text = value === null || value === undefined ? "" : String(value); return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };
  const lines = [["unit", ...data.columns.map(one => one.name)], ...rows().map(i => [data.units[i], ...data.columns.map(one => one.values[i])])];
  return lines.map(line => line.map(quoted).join(",")).join("\r\n") + "\r\n";
}

function download() {
  const address = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  put("a", { href: address, download: `${data.name.replace(/[^\w.-]+/g, "_")}_units.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

function unit(i) {
  if (!data.units.length) return [put("h2", {}, "Units"), nothing("the recording has no units")];
  const one = JSON.parse(document.getElementById(`unit-${i}`).textContent), edges = one.isi.concat(0).map((_, k) => k);
  const places = data.units.map((name, at) => ({ name, at }));
  const values = data.columns.filter(col => col.values[i] !== null).map(col => [col.name, col.values[i], col.what]);
  const step = (to, name, key) => to >= 0 && to < data.units.length ? unitLink(to, `${name} (${key})`, { rel: to < i ? "prev" : "next" }) : put("span", { class: "nothing" }, `no ${name.toLowerCase()}`);
  return [put("h2", {}, data.units[i]),
    put("div", { class: "tools" }, [step(i - 1, "Previous", "k or ←"), step(i + 1, "Next", "j or →"), choice("Go to", places, places[i], next => { location.hash = `unit=${next.at}`; }), put("span", {}, `${i + 1} of ${data.units.length}`)]),
    put("div", { class: "grid" }, [
      one.wave ? curve("Waveform", one.wave.x, one.wave.y, "time from trough (ms)", "amplitude (unit of the file)") : figure("Waveform", nothing("no waveform stored")),
      most(one.isi) > 0 ? bars("Intervals between spikes", one.isi, edges, "interval (ms)", "intervals (count)", "Longer intervals than 100 ms are left out.") : figure("Intervals between spikes", nothing("no intervals below 100 ms")),
      drawImage(one.image), ...one.fields.flatMap(drawField), ...one.tunings.map(drawTuning), ...one.responses.map(drawResponse),
    ]), put("h2", {}, "Values"), pairs(values, ["value", "of this unit", "meaning and unit"])];
}

function population() {
  const angles = numeric.filter(one => isAngle(one.name)), x = state.x ?? numeric[0], y = state.y ?? find(/dsi$/, /SNR$/i, /^violations$/)[0] ?? numeric[0];
  const spread = state.spread ?? numeric[0], angle = state.angle ?? angles.find(one => /preferred_direction$/.test(one.name)) ?? angles[0];
  if (!numeric.length) return [put("h2", {}, "Population"), nothing("no unit has a value")];
  const pick = key => next => { state[key] = next; show("select"); };
  return [put("h2", {}, "Population"), put("div", { class: "tools" }, [choice("Scatter: x", numeric, x, pick("x")), choice("Scatter: y", numeric, y, pick("y")), choice("Histogram", numeric, spread, pick("spread")), angles.length ? choice("Directions", angles, angle, pick("angle")) : null]),
    put("div", { class: "grid" }, [mosaic(), scatter(x, y), histogram(`Histogram: ${spread.name}`, spread.values, spread.name), directions(angle), ...wanted.map(name => data.columns.find(one => one.name === name)).filter(Boolean).map(one => histogram(`Quality: ${one.name}`, one.values, one.what))])];
}

function mosaic() {
  const found = data.fields.map((one, i) => [one, i]).filter(([one]) => one);
  if (!found.length) return figure("Mosaic of receptive fields", nothing("no fitted receptive field"));
  const edge = (k, sign) => found.map(([one]) => one[k] + sign * one[2]);
  const frame = plane("Mosaic", { name: "x (pixels)", range: [least(edge(0, -1)), most(edge(0, 1))] }, { name: "y (pixels)", range: [least(edge(1, -1)), most(edge(1, 1))] }, { square: true, down: true });
  for (const [one, i] of found) frame.content.append(shape("a", { href: `#unit=${i}`, "aria-label": data.units[i] }, ellipse(frame, one, { class: "line" })));
  return figure(`Mosaic: ${data.mosaic}`, frame.svg, `${found.length} of ${data.units.length} units have a fitted field; ellipses at one SD.`);
}

function wider(values) {
  const low = least(values), high = most(values), more = (high - low) * 0.04;
  return [low - more, high + more];
}

function scatter(x, y) {
  const kept = data.units.map((_, i) => i).filter(i => typeof x.values[i] === "number" && typeof y.values[i] === "number");
  if (!kept.length) return figure("Scatter", nothing("no unit has both values"));
  const xs = kept.map(i => x.values[i]), ys = kept.map(i => y.values[i]);
  const frame = plane("Scatter", { name: x.name, range: wider(xs) }, { name: y.name, range: wider(ys) }, { height: 320 });
  for (const i of kept) frame.content.append(shape("a", { href: `#unit=${i}`, "aria-label": `${data.units[i]}: ${shown(x.values[i])}, ${shown(y.values[i])}` }, shape("circle", { class: "dot bar", cx: frame.px(x.values[i]), cy: frame.py(y.values[i]), r: 4 })));
  return figure("Scatter", frame.svg, `${kept.length} of ${data.units.length} units have both values.`);
}

function directions(one) {
  const good = one ? finite(one.values) : [];
  if (!good.length) return figure("Directions", nothing("no directions"));
  const counts = new Array(12).fill(0);
  for (const angle of good) counts[Math.floor((((angle % 360) + 360) % 360) / 30) % 12]++;
  return bars(`Directions: ${one.name}`, counts, counts.concat(0).map((_, i) => 30 * i), "direction (degrees)", "units (count)", `${good.length} of ${data.units.length} units, whether their tuning is significant or not.`);
}

function problems() {
  const reasons = data.reasons.map(([name, what, why]) => [unitLink(data.units.indexOf(name), name), what, why]);
  return [put("h2", {}, "What went wrong"), put("h3", {}, "Warnings of the steps"), data.warnings.length ? put("ul", {}, data.warnings.map(one => put("li", {}, one))) : nothing("no warnings are stored"),
    put("h3", {}, "What is missing"), data.missing.length ? pairs(data.missing, ["what", "units", "of"]) : nothing("nothing is missing"),
    put("h3", {}, "Refused, and why"), reasons.length ? pairs(reasons, ["unit", "value", "reason"]) : nothing("no value was refused")];
}

const SECTIONS = { overview, chip, table, population, problems };
let shownUnit = 0;

function show(keep = "") {
  const name = decodeURIComponent(location.hash.slice(1)), number = /^unit(?:=(\d+))?$/.exec(name);
  const at = [...main.querySelectorAll("select")].indexOf(document.activeElement);
  if (number) shownUnit = Math.min(Number(number[1] ?? shownUnit), Math.max(0, data.units.length - 1));
  const section = number ? "unit" : name in SECTIONS ? name : "overview";
  main.replaceChildren(...(number ? unit(shownUnit) : SECTIONS[section]()));
  for (const link of document.querySelectorAll("nav a")) link.getAttribute("href") === `#${section}` ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  if (keep === "select") { if (at >= 0) main.querySelectorAll("select")[at].focus(); }
  else { window.scrollTo(0, 0); if (keep === "focus") main.focus({ preventScroll: true }); }
}

document.querySelector(".skip").addEventListener("click", event => { event.preventDefault(); main.focus(); });
window.addEventListener("hashchange", () => show("focus"));
document.addEventListener("keydown", event => {
  if (event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || !location.hash.startsWith("#unit")) return;
  const step = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1 }[event.key], to = shownUnit + step;
  if (step && to >= 0 && to < data.units.length) { event.preventDefault(); location.hash = `unit=${to}`; }
});
show();
