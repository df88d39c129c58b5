"use strict";
// A recording: its overview, the chip, the table of units, a page a unit, the population, and what went wrong.

const data = JSON.parse(document.getElementById("recording").textContent);
const numeric = data.columns.filter(one => finite(one.values).length);
const find = (...patterns) => patterns.flatMap(pattern => numeric.filter(one => pattern.test(one.name)).slice(0, 1));
const PRESETS = [/^rate$/, /SNR/i, /on_off_index|polarity$/, /latency_ms$/, /preferred_direction$/];
const FIRST = [/^rate$/, /^spikes$/, /^violations$/, ...PRESETS.slice(1), /response_quality$/, /dsi$/, /dsi_p_value$/, /center_row$/, /center_col$/];
const QUALITY = [/^rate$/, /^violations$/, /SNR/i, /response_quality$/, /contamination_hill$/];
const isAngle = name => /preferred_direction$|direction_angle$|direction_deg$/.test(name);
const TYPES = data.columns.filter(one => /polarity$/.test(one.name) || !finite(one.values).length && /type$|label$|class$/.test(one.name)).filter(one => { const kinds = new Set(one.values.filter(value => value !== null)); return kinds.size > 0 && kinds.size <= 24; });
const state = { latency: null, type: null, map: null, x: null, y: null, spread: null, angle: null, wave: null };
const unitLink = (i, children, more = {}) => put("a", { href: `#unit=${i}`, ...more }, children);
const sheet = new Sheet({ id: "units", rows: data.units, what: "unit", columns: data.columns, chosen: [...new Set(find(...FIRST))], link: i => `#unit=${i}`, file: `${data.name}_units.csv` });

function overview() {
  const edge = (bounds, i, side) => bounds.length ? bounds.at(i)[side] : null;
  const found = data.sections.map(([name, bounds], k) => [`${k + 1} ${name}`, bounds.length, edge(bounds, 0, 0), edge(bounds, -1, 1)]);
  const facts = [["duration (s)", data.duration], ["units", data.units.length], ["sections", data.sections.length], ["warnings", data.warnings.length], ...data.facts];
  return [
    put("h2", {}, "Overview"), put("div", { class: "grid" }, [lightFigure(), populationFigure()]),
    put("h2", {}, "Recording"), pairs(facts, ["what", "value"]),
    put("h2", {}, "How this file came about"), data.history.length ? pairs(data.history, ["state", "time", "what was done"]) : nothing("the session has no file"),
    put("h2", {}, "Sections"), pairs(found, ["section", "windows", "from (s)", "to (s)"], [null, shown, seconds, seconds]),
    put("h2", {}, "Features"), pairs(data.features, ["feature", "made by"]),
    put("h2", {}, "Metadata"), folded(data.metadata, ["name", "value"]),
  ];
}

function lightFigure() {
  const light = data.light, end = data.duration ?? (light ? light.x[light.x.length - 1] : 0), title = "Light reference and sections";
  if (!light && !data.sections.length) return figure(title, nothing("no light reference and no sections"), "", true);
  const range = light ? roomy(least(finite(light.low)) || -1e-9, most(finite(light.high))) : [0, 1];
  const frame = plane(title, { name: "time (s)", range: [0, end] }, { name: light ? "light (ADC counts)" : "", range }, { width: broad(1000), height: light ? 250 : 100, words: Boolean(light) });
  data.sections.forEach(([name, bounds], k) => {
    const edges = { y: frame.top, height: frame.base - frame.top, fill: around(200 + 137.5 * k), class: "section" };
    for (const [from, to] of bounds) frame.content.append(shape("rect", { x: frame.px(from), width: Math.max(0.5, frame.px(to) - frame.px(from)), ...edges }, shape("title", {}, `${name}: ${shown(from)} to ${shown(to)} s`)));
    if (bounds.length) frame.content.append(shape("text", { x: frame.px((bounds[0][0] + bounds[0][1]) / 2), y: frame.top + 12, "text-anchor": "middle", "font-weight": "bold" }, String(k + 1)));
  });
  if (light) {
    const back = [...light.x].reverse(), low = [...light.low].reverse();
    frame.content.append(shape("path", { class: "grey", d: `${path(light.x, light.high, frame)}${path(back, low, frame).replace("M", "L")}Z` }));
  }
  const names = data.sections.map(([name, bounds], k) => `${k + 1} ${name}${bounds.length > 1 ? ` (${bounds.length} windows)` : ""}`);
  return figure(title, frame.svg, `${light ? `Channel ${light.name}, lowest to highest sample. ` : "No light reference is stored. "}Sections: ${names.join(", ") || "none"}.`, true);
}

function populationFigure() {
  const title = "Rate of the population";
  if (!data.population.length) return figure(title, nothing("no spikes, or no sampling rate"), "", true);
  const width = data.duration / data.population.length;
  const frame = plane(title, { name: "time (s)", range: [0, data.duration] }, { name: "spikes/s per unit", range: roomy(0, most(finite(data.population)) || 1) }, { width: broad(1000), height: 220 });
  frame.content.append(shape("path", { class: "line", d: path(data.population.map((_, i) => (i + 0.5) * width), data.population, frame) }));
  return figure(title, frame.svg, `Mean over ${data.units.length} units, in bins of ${shown(width)} s.`, true);
}

// The circle of directions in the colours of the map: from the x axis, counter-clockwise.
function wheel() {
  const svg = shape("svg", { viewBox: "0 0 120 120", role: "img", "aria-label": "Colours of directions", class: "scale" });
  const at = (degrees, radius) => [60 + radius * Math.cos(degrees * Math.PI / 180), 60 - radius * Math.sin(degrees * Math.PI / 180)].map(one => one.toFixed(1)).join(" ");
  for (let a = 0; a < 360; a += 10) svg.append(shape("path", { fill: ofAngle(a + 5), d: `M${at(a, 20)}L${at(a, 38)}L${at(a + 10.5, 38)}L${at(a + 10.5, 20)}Z` }));
  for (const a of [0, 90, 180, 270]) { const [x, y] = at(a, 49).split(" "); svg.append(shape("text", { x, y: Number(y) + 4, "text-anchor": "middle" }, `${a}°`)); }
  return svg;
}

function chip() {
  const placed = data.places.map((place, i) => [place, i]).filter(([place]) => place);
  if (!placed.length) return [put("h2", {}, "Chip"), nothing("no unit has a place on the chip")];
  const options = [...new Set([...find(...PRESETS), ...numeric])];
  const one = state.map ?? options[0], angle = isAngle(one.name), good = finite(one.values).sort((a, b) => a - b);
  const low = good[Math.floor(0.05 * (good.length - 1))], high = good[Math.ceil(0.95 * (good.length - 1))];
  const xs = placed.map(([place]) => place[0]), ys = placed.map(([place]) => place[1]), margin = 2;
  const size = Math.max(most(xs) - least(xs), most(ys) - least(ys)) + 2 * margin;
  const from = values => (least(values) + most(values) - size) / 2;
  const frame = plane("Unit map", { name: "column (electrodes)", range: [from(xs), from(xs) + size] }, { name: "row (electrodes)", range: [from(ys), from(ys) + size] }, { width: broad(700), square: true, down: true });
  for (const [place, i] of placed) {
    const value = one.values[i], known = typeof value === "number", at = { cx: frame.px(place[0]), cy: frame.py(place[1]), r: 6 };
    const fill = angle ? ofAngle(value) : css(colour(high > low ? (value - low) / (high - low) : 0.5, VIRIDIS));
    const dot = shape("circle", known ? { ...at, class: "dot", fill } : { ...at, class: "hollow" }, shape("title", {}, `${data.units[i]}: ${shown(value)}`));
    frame.content.append(shape("a", { href: `#unit=${i}`, "aria-label": `${data.units[i]}, ${one.name} ${shown(value)}` }, dot));
  }
  scaleBar(frame, data.pitch);
  const stay = data.places.length - placed.length, ends = good.length < 20 ? "" : " The colours end at 5 % and 95 % of the units.";
  const bar = !good.length ? null : angle ? wheel() : colourBar(titled(one), low, high, VIRIDIS);
  const caption = `${one.what ? `${one.name}: ${one.what}. ` : ""}A unit leads to its page; hollow: no value.${angle ? "" : ends}${stay ? ` ${stay} units have no place.` : ""}`;
  return [put("h2", {}, "Chip"), put("div", { class: "tools" }, choice("Colour", options, one, next => { state.map = next; turn("select"); })),
    figure(`Unit map: ${titled(one)}`, put("div", {}, [frame.svg, bar]), caption)];
}

const table = () => [put("h2", {}, "Table"), ...sheet.view()];

function unit(i) {
  if (!data.units.length) return [put("h2", {}, "Units"), nothing("the recording has no units")];
  const one = JSON.parse(document.getElementById(`unit-${i}`).textContent), intervals = most(one.isi) > 0;
  const values = data.columns.filter(col => col.values[i] !== null).map(col => [col.name, col.values[i], interval(col, i), col.unit, col.what]);
  const gone = [[one.wave, "waveform"], [intervals, "intervals below 100 ms"], [one.image, "electrical image"], [one.fields.length, "spike-triggered average"], [one.tunings.length, "direction tuning"], [one.responses.length, "responses to stimuli"]].filter(([has]) => !has).map(([, name]) => name);
  return [
    put("h2", {}, data.units[i]), stepper("unit", data.units, i), put("div", { class: "tools" }, printFigures()),
    put("div", { class: "grid" }, [
      one.wave ? drawWave(one.wave) : null, intervals ? drawIntervals(one.isi) : null, most(one.pairs) > 0 ? drawPairs(one.pairs) : null, one.over ? drawOver(one.over) : null, ...one.tunings.map(drawTuning),
      ...(one.image ? drawImage(one.image) : []), ...one.fields.flatMap(drawField), ...one.responses.map(drawResponse),
    ].filter(Boolean)),
    gone.length ? put("p", { class: "nothing", id: "gone" }, `Not stored for this unit: ${gone.join(", ")}.`) : "",
    put("div", { class: "values" }, [put("h2", {}, "Values"), pairs(values, ["value", "of this unit", "95 % interval", "unit", "meaning"])]),
  ];
}

function population() {
  const angles = numeric.filter(one => isAngle(one.name)), x = state.x ?? numeric[0], y = state.y ?? find(/dsi$/, /SNR$/i, /^violations$/)[0] ?? numeric[0];
  if (!numeric.length) return [put("h2", {}, "Population"), nothing("no unit has a value")];
  const quality = [...new Set(find(...QUALITY))], angle = state.angle ?? angles.find(one => /preferred_direction$/.test(one.name)) ?? angles[0];
  const spread = state.spread ?? find(/latency_ms$/, /burst_index$/)[0] ?? numeric[0];
  const pick = key => next => { state[key] = next; turn("select"); };
  const type = state.type ?? TYPES[0], late = numeric.filter(one => /latency_ms$/.test(one.name) && halfOf(one)), latency = state.latency ?? late[0];
  const drawn = [mosaic(type), directions(angle)];
  return [
    put("h2", {}, "Population"),
    put("div", { class: "tools" }, [choice("Scatter: x", numeric, x, pick("x")), choice("Scatter: y", numeric, y, pick("y")), choice("Histogram", numeric, spread, pick("spread")), angles.length ? choice("Directions", angles, angle, pick("angle")) : null, late.length ? choice("Latencies", late, latency, pick("latency")) : null, TYPES.length && drawn[0] ? choice("Mosaics by", TYPES, type, pick("type")) : null]),
    put("div", { class: "grid" }, [scatter(x, y, { names: data.units, what: "units", link: i => `#unit=${i}` }), histogram(`Histogram: ${spread.name}`, spread, "units"), drawn[1], withIntervals(angle), withIntervals(latency), drawn[0], ...quality.map(one => histogram(`Quality: ${one.name}`, one, "units"))].filter(Boolean)),
    put("p", { class: "nothing" }, [drawn[0] ? "" : "No unit has a fitted receptive field. ", drawn[1] ? "" : "No unit has a preferred direction."]),
  ];
}

// The value of a column as a word: polarities by their names.
const kindOf = (column, value) => value === null ? "not known" : /polarity$/.test(column.name) ? value > 0 ? "ON" : value < 0 ? "OFF" : "neither ON nor OFF" : String(value);
const INKS = { ON: "var(--mark)", OFF: "var(--data)" };
const MAX_MOSAICS = 12;

// The fields of each polarity or type by themselves, all in the same frame.
function mosaic(type) {
  const found = data.fields.map((one, i) => [one, i]).filter(([one]) => one);
  if (!found.length) return null;
  const edge = (k, sign) => found.map(([one]) => one[k] + sign * one[2]), groups = new Map();
  for (const pair of found) { const kind = type ? kindOf(type, type.values[pair[1]]) : "all units"; groups.set(kind, [...groups.get(kind) ?? [], pair]); }
  const kinds = [...groups.keys()].sort((a, b) => groups.get(b).length - groups.get(a).length), shownKinds = kinds.slice(0, MAX_MOSAICS);
  const panels = shownKinds.map(kind => {
    const frame = plane(`Mosaic of ${kind}`, { name: "x (pixels)", range: roomy(least(edge(0, -1)), most(edge(0, 1))) }, { name: "y (pixels)", range: roomy(least(edge(1, -1)), most(edge(1, 1))) }, { square: true, down: true });
    for (const [one, i] of groups.get(kind)) frame.content.append(shape("a", { href: `#unit=${i}`, "aria-label": data.units[i] }, ellipse(frame, one, { class: "line", style: INKS[kind] ? `stroke: ${INKS[kind]}` : null })));
    scaleBar(frame, data.um_per_pixel);
    return put("div", {}, [put("span", {}, `${kind}: ${groups.get(kind).length} units`), frame.svg]);
  });
  const left = kinds.length > MAX_MOSAICS ? ` The ${MAX_MOSAICS} with the most units of ${kinds.length} are drawn.` : "";
  return figure(`Mosaic: ${data.mosaic}`, put("div", { class: "panels" }, panels), `${found.length} of ${data.units.length} units have a fitted field; ellipses at one SD${type ? `, apart by ${type.name}` : ""}.${left} An ellipse leads to its unit.`, true);
}

const named = name => data.columns.find(one => one.name === name);
// Names under which the standard error of a value may stand beside it.
const errorsOf = name => [`${name}_se`, name.replace(/_(ms|um|deg)$/, "_se_$1"), name.replace(/_m_s$/, "_se"), name.replace(/corrected_(row|col)$/, "corrected_se"), name.replace(/\bslope$/, "std_err")].filter(one => one !== name);

// The 95 % intervals to each side of a column's values, where the file has them: as stored, or 1.96 standard errors.
function halfOf(column) {
  const ci = named(`${column.name}_ci95`), error = errorsOf(column.name).map(named).find(Boolean);
  if (ci) return ci.values;
  return error ? error.values.map(value => value === null ? null : 1.96 * value) : null;
}

// The 95 % interval of a unit's value as text: its stored ends, or what is to each side; empty without one.
function interval(column, i) {
  const ends = ["low", "high"].map(end => named(`${column.name}_${end}`)?.values[i]), half = halfOf(column)?.[i];
  if (ends.every(Number.isFinite)) return `${shown(ends[0])} to ${shown(ends[1])}`;
  return Number.isFinite(half) ? `± ${shown(half)}` : "";
}

// Every unit's value with its interval, in the order of the values.
function withIntervals(column) {
  const half = column ? halfOf(column) : null;
  if (!half) return null;
  const kept = column.values.map((value, i) => [value, half[i], i]).filter(([value, h]) => typeof value === "number" && typeof h === "number").sort((a, b) => a[0] - b[0]);
  if (!kept.length) return null;
  const angle = isAngle(column.name), p = data.columns.find(one => one.name === column.name.replace(/preferred_direction$/, "dsi_p_value"));
  const range = angle ? [-90, 450] : roomy(Math.min(0, least(kept.map(([value, h]) => value - h))), most(kept.map(([value, h]) => value + h)));
  const frame = plane(`Intervals: ${column.name}`, { name: titled(column), range }, { name: "unit, in order", range: [0, kept.length + 1] }, { height: 320 });
  kept.forEach(([value, h, i], k) => {
    const y = frame.py(k + 1), x = at => frame.px(Math.min(frame.x1, Math.max(frame.x0, at))), text = `${data.units[i]}: ${shown(value)} ± ${shown(h)}`, sure = !angle || !p || p.values[i] !== null && p.values[i] < 0.05;
    frame.content.append(shape("a", { href: `#unit=${i}`, "aria-label": text, class: sure ? null : "faint" }, [shape("path", { class: "line thin", d: `M${x(value - h)} ${y}H${x(value + h)}` }), shape("circle", { class: "dot bar", cx: frame.px(value), cy: y, r: 2.5 }, shape("title", {}, text))]));
  });
  return figure(`Intervals: ${column.name}`, frame.svg, `${kept.length} of ${data.units.length} units have a value with an error; lines: 95 % intervals${angle ? ", cut at -90° and 450°" : ""}${angle && p ? "; faint: p of 0.05 or more" : ""}.`);
}

function directions(one) {
  const good = one ? finite(one.values) : [];
  if (!good.length) return null;
  const counts = new Array(12).fill(0);
  for (const angle of good) counts[Math.floor((((angle % 360) + 360) % 360) / 30) % 12]++;
  return bars(`Directions: ${one.name}`, counts, counts.concat(0).map((_, i) => 30 * i), "direction (degrees)", "units (count)", `${good.length} of ${data.units.length} units, whether their tuning is significant or not.`);
}

function problems() {
  const reasons = data.reasons.map(([name, what, why]) => [unitLink(data.units.indexOf(name), name), what, why]);
  const holes = data.columns.map(one => [one.name, one.values.filter(value => value === null).length, data.units.length]).filter(([, count]) => count);
  return [
    put("h2", {}, "What went wrong"),
    put("h3", {}, "Warnings of the steps"), data.warnings.length ? put("ul", {}, data.warnings.map(one => put("li", {}, one))) : nothing("no warnings are stored"),
    put("h3", {}, "What is missing"), data.missing.length ? pairs(data.missing, ["what", "units", "of"]) : nothing("no unit lacks spikes, a place or a feature that others have"),
    put("h3", {}, "Refused, and why"), reasons.length ? pairs(reasons, ["unit", "value", "reason"]) : nothing("no reason is stored"),
    put("h3", {}, "Values that some units do not have"), holes.length ? pairs(holes, ["value", "units without it (or not a number)", "of"]) : nothing("every unit has every value"),
  ];
}

const turn = startPages({ overview, chip, table, unit, population, waves: activity, problems }, { counts: { unit: data.units.length }, sheets: [sheet] });
