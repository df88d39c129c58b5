"use strict";
// The pictures of one unit.

const drawWave = wave => curve("Waveform", wave.x, wave.y, "time from trough (ms)", "amplitude (unit of the file)", "The mean waveform that the sorter stored.");

const drawIntervals = isi => bars("Intervals between spikes", isi, isi.concat(0).map((_, k) => k), "interval (ms)", "intervals (count)", "Intervals up to 100 ms in bins of 1 ms; shaded: below 1.5 ms.", { shade: [0, 1.5] });

// Pairs of spikes by the time between them: one side is stored, the other is its mirror.
function drawPairs(side) {
  const counts = [...side].reverse().concat(side), edges = counts.concat(0).map((_, i) => i - side.length);
  return bars("Autocorrelogram", counts, edges, "lag (ms)", "pairs of spikes (count)", `Pairs up to ${side.length} ms apart in bins of 1 ms; shaded: below 1.5 ms.`, { shade: [-1.5, 1.5] });
}

// The rate over the recording, and in how many of its parts there are spikes at all.
function drawOver(counts) {
  const width = data.duration / counts.length, rates = counts.map(count => count / width), present = counts.filter(count => count).length;
  const frame = plane("Rate over time", { name: "time (s)", range: [0, data.duration] }, { name: "rate (spikes/s)", range: roomy(0, most(rates) || 1) });
  frame.content.append(shape("path", { class: "line", d: path(rates.map((_, i) => (i + 0.5) * width), rates, frame) }));
  const gaps = counts.map((count, i) => count ? "" : `M${frame.px(i * width).toFixed(1)} ${frame.base}V${frame.top}H${frame.px((i + 1) * width).toFixed(1)}V${frame.base}Z`).join("");
  frame.content.append(shape("path", { class: "sector", d: gaps }));
  return figure("Rate over time", frame.svg, `Bins of ${shown(width)} s; present in ${present} of ${counts.length}${present < counts.length ? "; shaded: no spike" : ""}.`);
}

function drawImage(image) {
  const [rows, columns] = image.shape, values = unpack(image.pixels, "u1"), label = "peak to peak (ADC counts)";
  const frame = plane("Electrical image", { name: "column (electrodes)", range: [-0.5, columns - 0.5] }, { name: "row (electrodes)", range: [-0.5, rows - 0.5] }, { square: true, down: true });
  frame.content.append(pixels(frame, image.shape, i => values[i] / 255, VIRIDIS));
  if (image.axon.length) frame.content.append(shape("path", { class: "trail", d: path(image.axon.map(p => p[0]), image.axon.map(p => p[1]), frame) }));
  if (image.soma) frame.content.append(shape("circle", { cx: frame.px(image.soma[0]), cy: frame.py(image.soma[1]), r: 9, fill: "none", stroke: "#fff", "stroke-width": 2 }));
  scaleBar(frame, data.pitch);
  const marks = `${image.soma ? "Circle: soma" : "No soma was found"}; ${image.axon.length ? "line: axon" : "no axon was found"}`;
  const picture = put("div", {}, [frame.svg, colourBar(label, 0, image.top, VIRIDIS)]);
  return [figure("Electrical image", picture, `${marks}; electrodes are ${shown(image.pitch)} µm apart, and are counted from 0 here (row and col in the file from 1).`), drawTraces(image)];
}

// The mean trace of every electrode about the largest one, each in the square of its electrode.
function drawTraces({ traces, soma }) {
  const values = unpack(traces.values, "i1"), { rows, columns, length, row, column } = traces;
  const frame = plane("Traces", { name: "column (electrodes)", range: [column - 0.5, column + columns - 0.5] }, { name: "row (electrodes)", range: [row - 0.5, row + rows - 0.5] }, { square: true, down: true });
  let text = "";
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
    const start = (r * columns + c) * length, at = k => [frame.px(column + c - 0.45 + 0.9 * k / (length - 1 || 1)), frame.py(row + r - 0.45 * values[start + k] / 127)];
    for (let k = 0; k < length; k++) text += `${k ? "L" : "M"}${at(k).map(one => one.toFixed(1)).join(" ")}`;
  }
  frame.content.append(shape("path", { class: "line thin", d: text }));
  if (soma) frame.content.append(shape("circle", { class: "mark", cx: frame.px(soma[0]), cy: frame.py(soma[1]), r: 6 }));
  return figure("Waveforms on the electrodes", frame.svg, `Mean traces from ${shown(traces.from)} to ${shown(traces.to)} ms about the spike, at ${rows} × ${columns} electrodes; the height of a square is ${shown(2 * traces.top / 0.9)} ADC counts${soma ? "; circle: soma" : ""}.`);
}

const shownLag = (field, k) => `${shown(field.times[k], 3)} ${field.unit}`;

function drawField(field) {
  const good = finite(field.space), { middle, reach } = field, [rows, columns] = field.shape, label = "average (movie's unit)";
  const frame = plane(field.name, { name: "x (pixels)", range: [-0.5, columns - 0.5] }, { name: "y (pixels)", range: [-0.5, rows - 0.5] }, { square: true, down: true });
  frame.content.append(pixels(frame, field.shape, i => field.space[i] === null ? null : (field.space[i] - middle) / reach / 2 + 0.5, DIVERGING));
  if (field.ellipse) frame.content.append(ellipse(frame, field.ellipse, { class: "mark" }));
  scaleBar(frame, data.um_per_pixel);
  const fitted = field.ellipse ? `the ellipse is the fit at one SD${field.significant ? "" : ", which is not significant"}` : "no fitted field";
  const peak = put("div", {}, [frame.svg, colourBar(label, middle - reach, middle + reach, DIVERGING)]);
  const axis = field.unit === "ms" ? "time from spike (ms)" : field.unit === "frames" ? "frames from spike" : "frame of the window";
  return [
    figure(`Receptive field: ${field.name}`, good.length ? peak : nothing("no values"), `Average at ${shownLag(field, field.frame)}, the peak; ${fitted}.`),
    curve(`Time course: ${field.name}`, field.times, field.course, axis, label, "At the peak's pixel.", false),
    drawFrames(field),
  ];
}

// Every frame of the average that is stored, small, in the colours of the peak's.
function drawFrames(field) {
  const { frames, shape: [rows, columns] } = field, values = unpack(frames.values, "u1"), size = rows * columns;
  const small = frames.numbers.map((number, k) => {
    const plain = { px: x => (x + 0.5) / columns * 60, py: y => (y + 0.5) / rows * 60 * rows / columns };
    const svg = shape("svg", { viewBox: `0 0 60 ${60 * rows / columns}`, role: "img", "aria-label": `Average at ${shownLag(field, number)}` }, pixels(plain, field.shape, i => values[k * size + i] === 255 ? null : values[k * size + i] / 254, DIVERGING));
    return put("div", { class: number === field.frame ? "peak" : null }, [svg, put("span", {}, shownLag(field, number))]);
  });
  const left = frames.numbers.length < field.course.length ? `${frames.numbers.length} of ${field.course.length} frames` : `All ${field.course.length} frames`;
  return figure(`Frames: ${field.name}`, put("div", { class: "frames" }, small), `${left} of the average, in the colours of the peak's, which is outlined.`, true);
}

function drawTuning(tuning) {
  const size = 300, centre = size / 2, radius = 105, values = tuning.y.map(value => Math.max(0, value ?? 0)), top = most(values) || 1;
  const at = (degrees, part) => [centre + Math.cos(degrees * Math.PI / 180) * radius * part, centre - Math.sin(degrees * Math.PI / 180) * radius * part];
  const svg = shape("svg", { viewBox: "-60 4 420 290", role: "img", "aria-label": `Tuning: ${tuning.name}` });
  for (const part of [0.5, 1]) svg.append(shape("circle", { class: "axis", cx: centre, cy: centre, r: radius * part }), shape("text", { x: centre + 3, y: centre - radius * part - 3 }, shown(top * part, 3)));
  for (let angle = 0; angle < 360; angle += 45) { const [x, y] = at(angle, 1.22); svg.append(shape("text", { x, y: y + 4, "text-anchor": "middle" }, `${angle}°`)); }
  if (tuning.preferred !== null) {
    const half = Math.min(180, (tuning.half ?? 0)), edge = [];
    for (let i = 0; i <= 60; i++) edge.push(at(tuning.preferred - half + half * i / 30, 1).join(" "));
    if (half && half < 180) svg.append(shape("path", { class: "sector", d: `M${centre} ${centre}L${edge.join("L")}Z` }));
    svg.append(shape("path", { class: "mark", d: `M${centre} ${centre}L${at(tuning.preferred, 1).join(" ")}` }));
  }
  const whole = (tuning.half ?? 0) >= 180, range = tuning.half === null ? "without an error" : whole ? "whose 95 % interval is all directions" : "with its 95 % interval shaded";
  const interval = tuning.preferred === null ? "no preferred direction" : `preferred ${shown(tuning.preferred)}°, ${range}`;
  const order = tuning.x.map((_, i) => i).sort((a, b) => tuning.x[a] - tuning.x[b]);
  const points = order.map(i => at(tuning.x[i], values[i] / top));
  svg.append(shape("path", { class: "line", d: `M${points.map(point => point.join(" ")).join("L")}Z` }));
  for (const [x, y] of points) svg.append(shape("circle", { class: "bar", cx: x, cy: y, r: 3 }));
  return figure(`Tuning: ${tuning.name}`, svg, `Response in spikes/s by direction; DSI ${shown(tuning.dsi)}${tuning.low === null ? "" : ` (95 % of its cross-validated value: ${shown(tuning.low)} to ${shown(tuning.high)})`}, p ${shown(tuning.p)}; ${interval}.`);
}

function drawResponse(response) {
  if (!response.trials) return figure(response.movie, nothing("no trials"));
  const times = unpack(response.times, response.kind), range = [0, response.length];
  const folds = response.trials === 1 && response.length > 30 ? Math.min(20, Math.ceil(response.length / 10)) : 1, line = response.length / folds;
  const rows = folds > 1 ? { name: "starts at (s)", range: [0, response.length] } : { name: "trial", range: [0.5, response.counts.length + 0.5], whole: true };
  const raster = plane(`Raster: ${response.movie}`, { name: folds > 1 ? `time in a line of ${shown(line, 3)} s` : "time in trial (s)", range: [0, line] }, rows, { down: true });
  let text = "", next = 0;
  response.counts.forEach((drawnSpikes, trial) => {
    for (let i = 0; i < drawnSpikes; i++) {
      const time = times[next++] / 1000, fold = Math.min(folds - 1, Math.floor(time / line)), [y0, y1] = folds > 1 ? [(fold + 0.1) * line, (fold + 0.9) * line] : [trial + 0.6, trial + 1.4];
      text += `M${raster.px(time - fold * line).toFixed(1)} ${raster.py(y0).toFixed(1)}V${raster.py(y1).toFixed(1)}`;
    }
  });
  raster.content.append(shape("path", { class: "tick", d: text }));
  const drawn = response.every > 1 ? `; every ${response.every}th is drawn` : "";
  const { bin, trials: count, sums, squares } = response, middles = sums.map((_, i) => (i + 0.5) * bin), mean = sums.map(sum => sum / count / bin);
  const sd = count > 1 ? sums.map((sum, i) => Math.sqrt(Math.max(0, squares[i] - sum * sum / count) / (count - 1)) / bin) : null;
  const high = mean.map((value, i) => value + (sd ? sd[i] : 0));
  const rate = plane(`PSTH: ${response.movie}`, { name: "time in trial (s)", range }, { name: "rate (spikes/s)", range: roomy(0, most(high) || 1) });
  if (sd) {
    const low = mean.map((value, i) => Math.max(0, value - sd[i]));
    rate.content.append(shape("path", { class: "area", d: `${path(middles, high, rate)}${path([...middles].reverse(), low.reverse(), rate).replace("M", "L")}Z` }));
  }
  rate.content.append(shape("path", { class: "line", d: path(middles, mean, rate) }));
  const spread = sd ? ", ± SD over trials shaded" : "";
  const trials = response.trials === 1 ? "1 trial" : `${response.trials} trials`;
  return figure(response.movie, put("div", {}, [raster.svg, rate.svg]), `${response.spikes} spikes in ${trials}${drawn}. Below, their mean in bins of ${shown(bin * 1000)} ms${spread}.`);
}
