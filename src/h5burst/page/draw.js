"use strict";
// Pictures as SVG. All text goes in by textContent: what a file says is never read as markup.

const SVG = "http://www.w3.org/2000/svg";

function put(tag, attributes = {}, children = []) {
  const element = document.createElement(tag);
  return fill(element, attributes, children);
}

function shape(tag, attributes = {}, children = []) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of [].concat(children)) if (child !== null && child !== undefined) element.append(child);
  return element;
}

function shown(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  const short = Number(value.toPrecision(digits));
  return size >= 1e5 || size < 1e-3 ? short.toExponential() : String(short);
}

const KINDS = { u1: [1, "getUint8"], i1: [1, "getInt8"], u2: [2, "getUint16"], u4: [4, "getUint32"] };

// The numbers of base64 text: little-endian, of the kind said.
function unpack(text, kind) {
  const raw = atob(text), bytes = new Uint8Array(raw.length), [size, get] = KINDS[kind];
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length / size }, (_, i) => view[get](size * i, true));
}

const finite = values => values.filter(value => typeof value === "number" && Number.isFinite(value));
const least = values => values.reduce((a, b) => Math.min(a, b), Infinity);
const most = values => values.reduce((a, b) => Math.max(a, b), -Infinity);

// A long name with places at which a line may end.
const breakable = text => text.split(/(?<=[_/])/).flatMap((part, i) => i ? [put("wbr"), part] : [part]);

function figure(title, picture, caption = "", wide = false) {
  return put("figure", wide ? { class: "wide" } : {}, [put("h3", {}, breakable(title)), picture, caption ? put("figcaption", {}, caption) : null]);
}

const nothing = why => put("p", { class: "nothing" }, why);

function ticks(low, high, count = 5) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(one => one * power).find(one => one >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

function logTicks(low, high) {
  const found = [], decades = Math.log10(high / low), parts = decades > 3 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const part of parts) { const at = Number((part * 10 ** power).toPrecision(3)); if (at >= low * 0.999 && at <= high * 1.001) found.push(at); }
  return found;
}

const marked = value => Math.abs(value) >= 1e5 ? value.toExponential() : shown(value);

// An axis: {name, range, log, whole (marks at whole numbers alone)}. Gives the part of the way, 0 to 1, at which a value is, and the marks with their values.
function scale({ range, log = false, whole = false }, count) {
  let [low, high] = range;
  if (!(high > low)) [low, high] = log ? [low / 2, low * 2] : [low - 0.5, low + 0.5];
  const part = log ? value => Math.log(value / low) / Math.log(high / low) : value => (value - low) / (high - low);
  const marks = log ? logTicks(low, high) : ticks(low, high, count);
  return { low, high, part, marks: whole ? marks.filter(Number.isInteger) : marks };
}

// A frame with both axes named. Gives the drawing, and functions from values to places in it.
function plane(name, x, y, { width = 420, height = 230, square = false, down = false, words = true } = {}) {
  const left = 60, bottom = 40, top = 8, right = 12, across = scale(x, 5), up = scale(y, 4);
  if (square) height = top + bottom + (width - left - right) * (up.high - up.low) / (across.high - across.low);
  const px = value => left + across.part(value) * (width - left - right);
  const py = value => { const part = up.part(value); return top + (down ? part : 1 - part) * (height - top - bottom); };
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": name });
  const content = shape("g");
  svg.append(content, shape("path", { class: "axis", d: `M${left} ${top}V${height - bottom}H${width - right}` }));
  for (const at of across.marks) svg.append(shape("path", { class: "axis", d: `M${px(at)} ${height - bottom}v4` }), shape("text", { x: px(at), y: height - bottom + 15, "text-anchor": "middle" }, marked(at)));
  if (words) for (const at of up.marks) svg.append(shape("path", { class: "axis", d: `M${left} ${py(at)}h-4` }), shape("text", { x: left - 7, y: py(at) + 4, "text-anchor": "end" }, marked(at)));
  svg.append(shape("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, x.name));
  svg.append(shape("text", { transform: `translate(12 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, y.name));
  return { svg, content, px, py, x0: across.low, x1: across.high, y0: up.low, y1: up.high, base: height - bottom, top, left, right: width - right };
}

function path(xs, ys, frame) {
  let text = "", pen = "M";
  for (let i = 0; i < ys.length; i++) {
    if (ys[i] === null) { pen = "M"; continue; }
    text += `${pen}${frame.px(xs[i]).toFixed(1)} ${frame.py(ys[i]).toFixed(1)}`;
    pen = "L";
  }
  return text;
}

// A range with room at its ends, so that nothing that is drawn touches the frame; an end at 0 stays.
function roomy(low, high) {
  const more = (high - low || 1) * 0.06;
  return [low === 0 ? 0 : low - more, high === 0 ? 0 : high + more];
}

// A bar of whole µm inside a frame, at its lower left; um: µm in one unit of the x axis.
function scaleBar(frame, um) {
  if (!(um > 0)) return;
  const max_length = (frame.x1 - frame.x0) * um * 0.3, power = 10 ** Math.floor(Math.log10(max_length)), length = [5, 2, 1].map(one => one * power).find(one => one <= max_length);
  const x = frame.left + 10, y = frame.base - 10, end = x + frame.px(length / um) - frame.px(0);
  frame.content.append(shape("path", { class: "bar-edge", d: `M${x} ${y}H${end}` }), shape("path", { class: "bar-um", d: `M${x} ${y}H${end}` }), shape("text", { class: "bar-text", x: (x + end) / 2, y: y - 5, "text-anchor": "middle" }, `${shown(length)} µm`));
}

function curve(title, xs, ys, xname, yname, caption, zero = true) {
  const good = finite(ys);
  if (!good.length) return figure(title, nothing("no values"));
  const frame = plane(title, { name: xname, range: [least(xs), most(xs)] }, { name: yname, range: zero ? roomy(Math.min(0, least(good)), Math.max(0, most(good))) : roomy(least(good), most(good)) });
  frame.content.append(shape("path", { class: "line", d: path(xs, ys, frame) }));
  return figure(title, frame.svg, caption);
}

// Counts in bins; shade: a stretch of the x axis to be marked.
function bars(title, counts, edges, xname, yname, caption, { log = false, shade = null } = {}) {
  const frame = plane(title, { name: xname, range: [edges[0], edges[edges.length - 1]], log }, { name: yname, range: roomy(0, Math.max(1, most(counts))), whole: true });
  if (shade) frame.content.append(shape("path", { class: "sector", d: `M${frame.px(shade[0])} ${frame.base}V${frame.top}H${frame.px(shade[1])}V${frame.base}Z` }));
  const boxes = counts.map((count, i) => count ? `M${frame.px(edges[i]).toFixed(1)} ${frame.base}V${frame.py(count).toFixed(1)}H${frame.px(edges[i + 1]).toFixed(1)}V${frame.base}Z` : "");
  frame.content.append(shape("path", { class: "bar", d: boxes.join("") }));
  return figure(title, frame.svg, caption);
}

const median = sorted => sorted.length % 2 ? sorted[(sorted.length - 1) / 2] : (sorted[sorted.length / 2 - 1] + sorted[sorted.length / 2]) / 2;
const titled = ({ name, unit }) => unit ? `${name} (${unit})` : name;

// Whether most values would be in the first bins of a linear histogram.
const skewed = sorted => sorted.length > 10 && sorted[0] >= 0 && median(sorted) > 0 && sorted[sorted.length - 1] > 15 * median(sorted);

// How a column {name, unit, values} is distributed over rows, which are called `what`.
function histogram(title, column, what) {
  const sorted = finite(column.values).sort((a, b) => a - b);
  if (!sorted.length) return figure(title, nothing("no values"));
  if (sorted[0] === sorted[sorted.length - 1]) return figure(title, nothing(`${shown(sorted[0])}${column.unit ? ` ${column.unit}` : ""} in all ${sorted.length} of ${column.values.length} ${what} that have a value`));
  const log = skewed(sorted), used = log ? sorted.filter(value => value > 0) : sorted, low = used[0], high = used[used.length - 1];
  const count = Math.min(40, Math.max(8, Math.ceil(2 * Math.cbrt(used.length)))), counts = new Array(count).fill(0);
  const part = log ? value => Math.log(value / low) / Math.log(high / low) : value => (value - low) / (high - low);
  const edges = counts.concat(0).map((_, i) => log ? low * (high / low) ** (i / count) : low + (high - low) * i / count);
  for (const value of used) counts[Math.min(count - 1, Math.floor(part(value) * count))]++;
  const zeros = log && sorted.length > used.length ? `; ${sorted.length - used.length} are 0 and not drawn` : "";
  return bars(title, counts, edges, `${titled(column)}${log ? ", logarithmic" : ""}`, `${what} (count)`, `${sorted.length} of ${column.values.length} ${what} have a value${zeros}; median ${shown(median(sorted))}.`, { log });
}

function wider(values) {
  const low = least(values), high = most(values), more = (high - low) * 0.04;
  return [low - more, high + more];
}

// One column {name, unit, values} against another, a dot a row; rows are called `what`, and `link` gives their address.
function scatter(x, y, { names, what, link = null }) {
  const kept = names.map((_, i) => i).filter(i => typeof x.values[i] === "number" && typeof y.values[i] === "number"), title = `Scatter: ${y.name} against ${x.name}`;
  if (!kept.length) return figure(title, nothing(`no ${what} have both values`));
  const frame = plane(title, { name: titled(x), range: wider(kept.map(i => x.values[i])) }, { name: titled(y), range: wider(kept.map(i => y.values[i])) }, { height: 320 });
  for (const i of kept) {
    const text = `${names[i]}: ${shown(x.values[i])}, ${shown(y.values[i])}`, dot = shape("circle", { class: "dot bar", cx: frame.px(x.values[i]), cy: frame.py(y.values[i]), r: 4 }, shape("title", {}, text));
    frame.content.append(link ? shape("a", { href: link(i), "aria-label": text }, dot) : dot);
  }
  return figure(title, frame.svg, `${kept.length} of ${names.length} ${what} have both values.${link ? " A dot leads to its page." : ""}`);
}

const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
// Of angles: light at 0, dark at 180 degrees, blue before and red after; told apart with any kind of colour vision.
const CIRCULAR = [[226, 217, 226], [149, 181, 199], [98, 118, 186], [89, 42, 143], [47, 20, 54], [116, 30, 79], [178, 86, 82], [204, 163, 137], [226, 217, 226]];
const DIVERGING = [[127, 59, 8], [253, 184, 99], [247, 247, 247], [178, 171, 210], [45, 0, 75]];

function colour(part, stops) {
  const at = Math.min(Math.max(part, 0), 1) * (stops.length - 1), i = Math.min(Math.floor(at), stops.length - 2);
  return stops[i].map((one, k) => Math.round(one + (at - i) * (stops[i + 1][k] - one)));
}

// What the colours mean: a bar from low to high beside its values.
function colourBar(name, low, high, stops) {
  const width = 320, frame = plane(name, { name, range: [low, high] }, { name: "", range: [0, 1] }, { width, height: 62, words: false });
  const parts = 64, step = (frame.right - frame.left) / parts;
  for (let i = 0; i < parts; i++) frame.content.append(shape("rect", { x: frame.left + i * step, y: frame.top, width: step + 0.5, height: frame.base - frame.top, fill: css(colour(i / (parts - 1), stops)) }));
  frame.svg.setAttribute("class", "scale");
  return frame.svg;
}

const css = ([r, g, b]) => `rgb(${r},${g},${b})`;
const ofAngle = degrees => css(colour((((degrees % 360) + 360) % 360) / 360, CIRCULAR));
const around = degrees => `hsl(${((degrees % 360) + 360) % 360} 65% 52%)`;

// Pixels as a picture in the units of a frame: each covers the square of one unit about its place.
function pixels(frame, shape_, at, stops) {
  const [rows, columns] = shape_, canvas = put("canvas", { width: columns, height: rows }), pen = canvas.getContext("2d");
  const picture = pen.createImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) {
    const value = at(i);
    picture.data.set(value === null ? [128, 128, 128, 255] : [...colour(value, stops), 255], 4 * i);
  }
  pen.putImageData(picture, 0, 0);
  const x = frame.px(-0.5), y = frame.py(-0.5);
  return shape("image", { href: canvas.toDataURL(), x, y, width: frame.px(columns - 0.5) - x, height: frame.py(rows - 0.5) - y, preserveAspectRatio: "none" });
}

function ellipse(frame, [x, y, major, minor, angle], attributes) {
  const scale = frame.px(1) - frame.px(0);
  return shape("ellipse", { rx: major * scale, ry: minor * scale, transform: `translate(${frame.px(x)} ${frame.py(y)}) rotate(${angle})`, ...attributes });
}

