"use strict";
// Spontaneous activity: raster with waves, synchrony over distance, fronts of waves on the array.

const INK = [[255, 255, 255], [150, 150, 160], [20, 20, 30]];
const HEADS = ["wave", "start (s)", "duration (s)", "units", "share of active", "hull (mm²)", "speed (µm/s)", "SE", "direction (°)", "R²"];

function activity() {
  const found = data.activity, title = put("h2", {}, "Waves");
  if (!found) return [title, nothing("no step has looked for waves (hdmea run --flow waves)")];
  const waves = found.waves, names = waves.map((wave, i) => ({ name: `${i + 1}: ${shown(wave.start)} s, ${wave.count} units`, i }));
  const largest = waves.reduce((best, wave, i) => wave.count > waves[best].count ? i : best, 0);
  const at = state.wave ?? largest, turned = next => { state.wave = next.i; turn("select"); };
  const link = i => put("a", { href: "#waves", onclick: event => { event.preventDefault(); state.wave = i; turn("select"); } }, String(i + 1));
  const rows = waves.map((wave, i) => [link(i), wave.start, wave.duration, wave.count, wave.share, wave.area, wave.speed, wave.speedSe, wave.direction, wave.r2]);
  return [
    title, put("div", { class: "grid" }, [rasterFigure(found), distanceFigure(found.distance), waves.length && found.places ? frontFigure(found, waves[at], at) : null].filter(Boolean)),
    waves.length && found.places ? put("div", { class: "tools" }, choice("Wave", names, names[at], turned)) : "",
    put("h2", {}, "The recording"), pairs(found.measures, ["measure", "value"]),
    put("h2", {}, "All waves"), waves.length ? pairs(rows, HEADS, HEADS.map((_, k) => k === 1 ? seconds : k ? decimals(rows.map(row => row[k])) : null)) : nothing("no wave was found"),
  ];
}

function rasterFigure({ raster, waves }) {
  const values = unpack(raster.values, "u1"), end = data.duration, title = "Raster and waves";
  const frame = plane(title, { name: "time (s)", range: [0, end] }, { name: "units", range: [0, raster.units] }, { width: broad(1000), height: 380, down: true });
  const cell = { px: column => frame.left + (column + 0.5) / raster.columns * (frame.right - frame.left), py: row => frame.top + (row + 0.5) / raster.rows * (frame.base - frame.top) };
  const picture = pixels(cell, [raster.rows, raster.columns], i => values[i] / 255, INK);
  picture.setAttribute("class", "ink");
  frame.content.append(picture);
  for (const [i, wave] of waves.entries())
    frame.content.append(shape("rect", { x: frame.px(wave.start), y: frame.top, width: Math.max(1, frame.px(wave.start + wave.duration) - frame.px(wave.start)), height: frame.base - frame.top, class: "sector" }, shape("title", {}, `wave ${i + 1}: ${shown(wave.start)} s, ${wave.count} units`)));
  const order = raster.axis ? `in the order of ${raster.axis}` : "as they are stored", shared = raster.units > raster.rows ? `; ${raster.units} units in ${raster.rows} rows` : "";
  return figure(title, frame.svg, `Units ${order}${shared}; ${waves.length} waves shaded, from the first onset to the last spike.`, true);
}

function distanceFigure(found) {
  const title = "Tiling coefficient over distance";
  if (!found) return figure(title, nothing("no distances: measure_synchrony was not run, or units have no places"));
  const edges = found.edges_um, middles = found.mean.map((_, i) => (edges[i] + edges[i + 1]) / 2), all = finite([...found.mean, ...found.null_low, ...found.null_high, 0]);
  const frame = plane(title, { name: "distance (µm)", range: [edges[0], edges[edges.length - 1]] }, { name: "STTC", range: roomy(least(all), most(all)) });
  const band = middles.map((_, i) => i).filter(i => found.null_low[i] !== null), back = [...band].reverse();
  if (band.length) frame.content.append(shape("path", { class: "area", d: `${path(band.map(i => middles[i]), band.map(i => found.null_high[i]), frame)}${path(back.map(i => middles[i]), back.map(i => found.null_low[i]), frame).replace("M", "L")}Z` }));
  if (found.decay_um !== null) {
    const xs = Array.from({ length: 100 }, (_, i) => edges[0] + (edges[edges.length - 1] - edges[0]) * i / 99), ys = xs.map(x => found.at_zero * Math.exp(-x / found.decay_um));
    frame.content.append(shape("path", { class: "trail", d: path(xs.filter((_, i) => ys[i] <= frame.y1), ys.filter(y => y <= frame.y1), frame) }));
  }
  frame.content.append(shape("path", { class: "line", d: path(middles, found.mean, frame) }));
  found.mean.forEach((y, i) => { if (y !== null) frame.content.append(shape("circle", { class: "bar", cx: frame.px(middles[i]), cy: frame.py(y), r: 3 })); });
  const decay = found.decay_um === null ? "no decay could be fitted" : `decay length ${shown(found.decay_um)} ± ${shown(found.decay_se_um)} µm (SE)`;
  return figure(title, frame.svg, `Means of pairs, dt ${shown(found.dt * 1000)} ms; ${decay}. ${band.length ? "Shaded: the lowest to the highest mean of shifted trains." : "No trains were shifted."}`);
}

function frontFigure(found, wave, number) {
  const [xs, ys] = found.places, good = xs.map((_, i) => i).filter(i => xs[i] !== null && ys[i] !== null), pick = axis => good.map(i => axis[i]);
  const size = 1.06 * Math.max(most(pick(xs)) - least(pick(xs)), most(pick(ys)) - least(pick(ys)), 1), from = axis => (least(pick(axis)) + most(pick(axis)) - size) / 2;
  const title = `Wave ${number + 1}`, frame = plane(title, { name: "x (µm)", range: [from(xs), from(xs) + size] }, { name: "y (µm)", range: [from(ys), from(ys) + size] }, { square: true });
  const units = unpack(wave.units, "u4"), onsets = unpack(wave.onsets, "u4"), top = most(onsets) || 1, radius = Math.max(2, Math.min(8, 140 / Math.sqrt(good.length)));
  for (const i of good) frame.content.append(shape("circle", { cx: frame.px(xs[i]), cy: frame.py(ys[i]), r: radius / 2, class: "hollow" }));
  units.forEach((unit, k) => {
    if (xs[unit] === null) return;
    const dot = shape("circle", { cx: frame.px(xs[unit]), cy: frame.py(ys[unit]), r: radius, class: "dot", fill: css(colour(onsets[k] / top, VIRIDIS)) }, shape("title", {}, `${data.units[unit]}: ${shown(wave.start + onsets[k] / 1000, 6)} s`));
    frame.content.append(dot);
  });
  if (wave.direction !== null) {
    const [x, y] = wave.origin, a = wave.direction * Math.PI / 180, long = size / 4, to = (r, turned) => [frame.px(x + long * Math.cos(a) - r * Math.cos(a + turned)), frame.py(y + long * Math.sin(a) - r * Math.sin(a + turned))].map(one => one.toFixed(1)).join(" ");
    frame.content.append(shape("path", { class: "mark", d: `M${frame.px(x)} ${frame.py(y)}L${to(0, 0)}M${to(size / 25, 0.5)}L${to(0, 0)}L${to(size / 25, -0.5)}` }));
  }
  const goes = wave.speed === null ? "no plane front fits the onsets" : `${shown(wave.speed, 3)} ± ${shown(wave.speedSe, 2)} µm/s toward ${shown(wave.direction, 3)}° (counter-clockwise from x), R² ${shown(wave.r2, 2)}`;
  return figure(title, put("div", {}, [frame.svg, colourBar("onset (s)", 0, top / 1000, VIRIDIS)]), `At ${shown(wave.start, 6)} s, ${wave.count} units: ${goes}. The line begins at the origin; hollow: units that took no part.`);
}
