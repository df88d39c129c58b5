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
  return size >= 1e5 || size < 1e-3 ? value.toExponential(digits - 1) : String(Number(value.toPrecision(digits)));
}

function unpack(text, kind) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  if (kind === "u1") return bytes;
  const view = new DataView(bytes.buffer), found = new Uint32Array(bytes.length / 4);
  for (let i = 0; i < found.length; i++) found[i] = view.getUint32(4 * i, true);
  return found;
}

const finite = values => values.filter(value => typeof value === "number" && Number.isFinite(value));
const least = values => values.reduce((a, b) => Math.min(a, b), Infinity);
const most = values => values.reduce((a, b) => Math.max(a, b), -Infinity);

function figure(title, picture, caption = "", wide = false) {
  return put("figure", wide ? { class: "wide" } : {}, [put("h3", {}, title), picture, caption ? put("figcaption", {}, caption) : null]);
}

const nothing = why => put("p", { class: "nothing" }, why);

function ticks(low, high, count = 5) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(one => one * power).find(one => one >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

// A frame with both axes named. Gives the drawing, and functions from values to places in it.
function plane(name, x, y, { width = 420, height = 230, square = false, down = false, words = true } = {}) {
  const left = 54, bottom = 40, top = 8, right = 12;
  let [x0, x1] = x.range, [y0, y1] = y.range;
  if (!(x1 > x0)) [x0, x1] = [x0 - 0.5, x0 + 0.5];
  if (!(y1 > y0)) [y0, y1] = [y0 - 0.5, y0 + 0.5];
  if (square) height = top + bottom + (width - left - right) * (y1 - y0) / (x1 - x0);
  const px = value => left + (value - x0) / (x1 - x0) * (width - left - right);
  const py = value => { const part = (value - y0) / (y1 - y0); return top + (down ? part : 1 - part) * (height - top - bottom); };
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": name });
  const content = shape("g");
  svg.append(content, shape("path", { class: "axis", d: `M${left} ${top}V${height - bottom}H${width - right}` }));
  for (const at of ticks(x0, x1)) svg.append(shape("path", { class: "axis", d: `M${px(at)} ${height - bottom}v4` }), shape("text", { x: px(at), y: height - bottom + 15, "text-anchor": "middle" }, String(at)));
  if (words) for (const at of ticks(y0, y1, 4)) svg.append(shape("path", { class: "axis", d: `M${left} ${py(at)}h-4` }), shape("text", { x: left - 7, y: py(at) + 4, "text-anchor": "end" }, shown(at)));
  svg.append(shape("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, x.name));
  svg.append(shape("text", { transform: `translate(12 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, y.name));
  return { svg, content, px, py, x0, x1, y0, y1, base: height - bottom, top };
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

function curve(title, xs, ys, xname, yname, caption, zero = true) {
  const good = finite(ys);
  if (!good.length) return figure(title, nothing("no values"));
  const frame = plane(title, { name: xname, range: [least(xs), most(xs)] }, { name: yname, range: zero ? [Math.min(0, least(good)), Math.max(0, most(good))] : [least(good), most(good)] });
  frame.content.append(shape("path", { class: "line", d: path(xs, ys, frame) }));
  return figure(title, frame.svg, caption);
}

function bars(title, counts, edges, xname, yname, caption) {
  const frame = plane(title, { name: xname, range: [edges[0], edges[edges.length - 1]] }, { name: yname, range: [0, Math.max(1, most(counts))] });
  counts.forEach((count, i) => {
    if (count) frame.content.append(shape("path", { class: "bar", d: `M${frame.px(edges[i])} ${frame.base}V${frame.py(count)}H${frame.px(edges[i + 1])}V${frame.base}Z` }));
  });
  return figure(title, frame.svg, caption);
}

function histogram(title, values, xname) {
  const good = finite(values);
  if (!good.length) return figure(title, nothing("no values"));
  const low = least(good), width = (most(good) - low) / 24 || 1, counts = new Array(24).fill(0);
  for (const value of good) counts[Math.min(23, Math.floor((value - low) / width))]++;
  const middle = good.sort((a, b) => a - b)[Math.floor((good.length - 1) / 2)];
  return bars(title, counts, counts.concat(0).map((_, i) => low + i * width), xname, "units (count)", `${good.length} of ${values.length} units have a value; median ${shown(middle)}`);
}

const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const DIVERGING = [[127, 59, 8], [253, 184, 99], [247, 247, 247], [178, 171, 210], [45, 0, 75]];

function colour(part, stops) {
  const at = Math.min(Math.max(part, 0), 1) * (stops.length - 1), i = Math.min(Math.floor(at), stops.length - 2);
  return stops[i].map((one, k) => Math.round(one + (at - i) * (stops[i + 1][k] - one)));
}

const css = ([r, g, b]) => `rgb(${r},${g},${b})`;
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

function drawImage(image) {
  if (!image) return figure("Electrical image", nothing("no electrical image"));
  const [rows, columns] = image.shape, values = unpack(image.pixels, "u1");
  const frame = plane("Electrical image", { name: "column (electrodes)", range: [-0.5, columns - 0.5] }, { name: "row (electrodes)", range: [-0.5, rows - 0.5] }, { square: true, down: true });
  frame.content.append(pixels(frame, image.shape, i => values[i] / 255, VIRIDIS));
  if (image.axon.length) frame.content.append(shape("path", { class: "axon", d: path(image.axon.map(p => p[0]), image.axon.map(p => p[1]), frame) }));
  if (image.soma) frame.content.append(shape("circle", { cx: frame.px(image.soma[0]), cy: frame.py(image.soma[1]), r: 9, fill: "none", stroke: "#fff", "stroke-width": 2 }));
  const marks = `${image.soma ? "circle: soma" : "no soma found"}; ${image.axon.length ? "line: axon" : "no axon found"}`;
  return figure("Electrical image", frame.svg, `Peak to peak from 0 (dark) to ${shown(image.top)} ADC counts (bright); ${marks}; electrodes are ${shown(image.pitch)} µm apart.`);
}

function drawField(field) {
  const good = finite(field.space), middle = finite(field.course).concat(good).reduce((a, b) => a + b, 0) / (good.length + finite(field.course).length);
  const reach = most(good.map(value => Math.abs(value - middle))) || 1, [rows, columns] = field.shape;
  const frame = plane(field.name, { name: "x (pixels)", range: [-0.5, columns - 0.5] }, { name: "y (pixels)", range: [-0.5, rows - 0.5] }, { square: true, down: true });
  frame.content.append(pixels(frame, field.shape, i => field.space[i] === null ? null : (field.space[i] - middle) / reach / 2 + 0.5, DIVERGING));
  if (field.ellipse) frame.content.append(ellipse(frame, field.ellipse, { class: "mark" }));
  const fitted = field.ellipse ? "the ellipse is the fit at one SD" : "no fitted field";
  const picture = figure(`Receptive field: ${field.name}`, frame.svg, `Average at frame ${field.frame} of the window, ${shown(middle - reach)} (orange) to ${shown(middle + reach)} (violet) in the movie's unit; ${fitted}.`);
  const course = curve(`Time course: ${field.name}`, field.course.map((_, i) => i), field.course, "frame of the window", "average (movie's unit)", "At the peak's pixel.", false);
  return [picture, course];
}

function drawTuning(tuning) {
  const size = 300, centre = size / 2, radius = 105, values = tuning.y.map(value => Math.max(0, value ?? 0)), top = most(values) || 1;
  const at = (degrees, part) => [centre + Math.cos(degrees * Math.PI / 180) * radius * part, centre - Math.sin(degrees * Math.PI / 180) * radius * part];
  const svg = shape("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": `Tuning: ${tuning.name}` });
  for (const part of [0.5, 1]) svg.append(shape("circle", { class: "axis", cx: centre, cy: centre, r: radius * part }), shape("text", { x: centre + 3, y: centre - radius * part - 3 }, shown(top * part, 3)));
  for (let angle = 0; angle < 360; angle += 45) { const [x, y] = at(angle, 1.22); svg.append(shape("text", { x, y: y + 4, "text-anchor": "middle" }, `${angle}°`)); }
  if (tuning.preferred !== null) {
    const half = Math.min(180, 1.96 * (tuning.se ?? 0)), edge = [];
    for (let i = 0; i <= 60; i++) edge.push(at(tuning.preferred - half + half * i / 30, 1).join(" "));
    if (half) svg.append(shape("path", { class: "sector", d: `M${centre} ${centre}L${edge.join("L")}Z` }));
    svg.append(shape("path", { class: "mark", d: `M${centre} ${centre}L${at(tuning.preferred, 1).join(" ")}` }));
  }
  const order = tuning.x.map((_, i) => i).sort((a, b) => tuning.x[a] - tuning.x[b]);
  const points = order.map(i => at(tuning.x[i], values[i] / top));
  svg.append(shape("path", { class: "line", d: `M${points.map(point => point.join(" ")).join("L")}Z` }));
  for (const [x, y] of points) svg.append(shape("circle", { class: "bar", cx: x, cy: y, r: 3 }));
  return figure(`Tuning: ${tuning.name}`, svg, `Response in spikes/s by direction; DSI ${shown(tuning.dsi)}, p ${shown(tuning.p)}; preferred ${shown(tuning.preferred)}° with its 95 % interval (1.96 SE) shaded.`);
}

function drawResponse(response) {
  if (!response.trials) return figure(response.movie, nothing("no trials"));
  const times = unpack(response.times, "u4"), range = [0, response.length];
  const raster = plane(`Raster: ${response.movie}`, { name: "time in trial (s)", range }, { name: "trial", range: [0.5, response.counts.length + 0.5] }, { down: true, words: response.counts.length > 1 });
  let text = "", next = 0;
  response.counts.forEach((count, trial) => {
    const y0 = raster.py(trial + 0.6).toFixed(1), y1 = raster.py(trial + 1.4).toFixed(1);
    for (let i = 0; i < count; i++) text += `M${raster.px(times[next++] / 1000).toFixed(1)} ${y0}V${y1}`;
  });
  raster.content.append(shape("path", { class: "tick", d: text }));
  const drawn = response.every > 1 ? `; every ${response.every}th is drawn` : "";
  const edges = response.mean.map((_, i) => i * response.bin), middles = edges.map(edge => edge + response.bin / 2);
  const high = response.mean.map((value, i) => value + (response.sd ? response.sd[i] : 0));
  const rate = plane(`PSTH: ${response.movie}`, { name: "time in trial (s)", range }, { name: "rate (spikes/s)", range: [0, most(high) || 1] });
  if (response.sd) {
    const low = response.mean.map((value, i) => Math.max(0, value - response.sd[i]));
    rate.content.append(shape("path", { class: "area", d: `${path(middles, high, rate)}${path([...middles].reverse(), low.reverse(), rate).replace("M", "L")}Z` }));
  }
  rate.content.append(shape("path", { class: "line", d: path(middles, response.mean, rate) }));
  const spread = response.sd ? ", ± SD over trials shaded" : "";
  const trials = response.trials === 1 ? "1 trial" : `${response.trials} trials`;
  return figure(response.movie, put("div", {}, [raster.svg, rate.svg]), `${response.spikes} spikes in ${trials}${drawn}. Below, their mean in bins of ${shown(response.bin * 1000)} ms${spread}.`);
}
