"use strict";
// A container: its overview, a page an assay, the samples, and the history.

const data = JSON.parse(document.getElementById("container").textContent);
const WHAT_IS_MISSING = "Missing: not a finite number, or in a sparse layer not stored. Zeros: values of 0 that are stored.";
const state = { x: null, y: null, spread: null };
const measures = sheet => sheet.columns.filter(one => /\/(missing|zeros|median|mean)$/.test(one.name));
const chosen = sheet => [...sheet.columns.filter(one => !measures(sheet).includes(one)).slice(0, 6), ...measures(sheet).filter(one => !one.name.endsWith("/zeros")).slice(0, 8)];
const sheetOf = (id, what, found, file) => new Sheet({ id, rows: found.names, what, columns: found.columns, chosen: chosen(found), link: null, file });
const samples = sheetOf("samples", "sample", data.samples, `${data.name}_samples.csv`);
const features = data.assays.map((one, i) => sheetOf(`features${i}`, "feature", one, `${data.name}_${one.name}.csv`));
const percent = (part, of) => of ? `${shown(100 * part / of, 3)} %` : "–";
const named = (sheet, name) => sheet.columns.find(one => one.name === name);

function overview() {
  const layers = data.assays.flatMap((one, i) => one.layers.map(layer => [
    put("a", { href: `#assay=${i}` }, `${one.name}/${layer.name}`), layer.stored, one.names.length, percent(layer.values - layer.there, layer.values), layer.zeros, layer.low, layer.high,
  ]));
  return [
    put("h2", {}, "Overview"), pairs(data.facts, ["what", "value"]),
    put("h2", {}, "Layers"), layers.length ? pairs(layers, ["layer", "stored as", "features", "missing", "zeros", "lowest value", "highest value"]) : nothing("no layers are stored"),
    put("p", { class: "nothing" }, WHAT_IS_MISSING),
    put("h2", {}, "Links"), data.links.length ? pairs(data.links, ["from assay", "to assay", "pairs of features"]) : nothing("no links between assays"),
    put("h2", {}, "Besides"), data.extras.length ? pairs(data.extras, ["what", "names"]) : nothing("no embeddings, graphs or unstructured values"),
  ];
}

function valuesFigure(layer) {
  const total = layer.counts.reduce((a, b) => a + b, 0), name = `Values: ${layer.name}`;
  if (!total) return figure(name, nothing("no values but zeros, or none"));
  const zeros = layer.log && layer.zeros ? `; ${layer.zeros} zeros are not drawn` : "";
  return bars(name, layer.counts, layer.edges, `value${layer.log ? ", logarithmic" : ""}`, "values (count)", `${total} values${zeros}.`, { log: layer.log });
}

function mapFigure(assay, layer) {
  const [rows, columns] = layer.map.shape, name = `Where values are: ${layer.name}`;
  if (!layer.there || layer.there === layer.values) return figure(name, nothing(layer.there ? "no value is missing" : "no values"));
  const values = unpack(layer.map.values, "u1"), height = data.samples.names.length, width = assay.names.length;
  const frame = plane(name, { name: "feature, in the order of the file", range: [0, width] }, { name: "sample", range: [0, height] }, { width: 420, height: 300, down: true });
  const square = { px: x => frame.px((x + 0.5) / columns * width), py: y => frame.py((y + 0.5) / rows * height) };
  frame.content.append(pixels(square, layer.map.shape, i => values[i] / 255, VIRIDIS));
  return figure(name, put("div", {}, [frame.svg, colourBar("values that are there (%)", 0, 100, VIRIDIS)]), `Share of values in stretches of ${shown(height / rows)} × ${shown(width / columns)} (samples × features).`);
}

function layerFigures(assay, sheet, layer) {
  const of = (from, name, title, what) => { const one = named(from, name); return histogram(title, { ...one, name: title.split(":")[0].toLowerCase() }, what); };
  const codes = layer.codes ? pairs(layer.codes.filter(([, count]) => count).map(([code, count]) => [code, count, percent(count, layer.values)]), ["mask code", "values", "of all"]) : nothing("no mask: all values count as valid");
  return [
    put("h2", {}, `Layer ${layer.name}`),
    put("p", {}, `${layer.stored}; ${layer.there} of ${layer.values} values are there, ${percent(layer.values - layer.there, layer.values)} missing; ${layer.zeros} are 0.`),
    put("div", { class: "grid" }, [
      valuesFigure(layer), of(data.samples, `${assay.name}/${layer.name}/missing`, `Missing by sample: ${layer.name}`, "samples"),
      of(sheet, `${layer.name}/missing`, `Missing by feature: ${layer.name}`, "features"), of(data.samples, `${assay.name}/${layer.name}/median`, `Median of each sample: ${layer.name}`, "samples"),
      of(sheet, `${layer.name}/mean`, `Mean of each feature: ${layer.name}`, "features"), mapFigure(assay, layer), figure(`Mask: ${layer.name}`, codes),
    ]),
  ];
}

function assay(i) {
  if (!data.assays.length) return [put("h2", {}, "Assays"), nothing("the container has no assays")];
  const one = data.assays[i];
  return [
    put("h2", {}, `Assay ${one.name}`), stepper("assay", data.assays.map(each => each.name), i), put("p", {}, WHAT_IS_MISSING),
    ...(one.layers.length ? one.layers.flatMap(layer => layerFigures(one, one, layer)) : [nothing("the assay has no layers")]),
    put("h2", {}, "Features"), ...features[i].view(),
  ];
}

function samplesPage() {
  const numeric = samples.numeric, x = state.x ?? numeric.find(one => one.name.endsWith("/missing")) ?? numeric[0], y = state.y ?? numeric.find(one => one.name.endsWith("/median")) ?? numeric[0];
  const spread = state.spread ?? x, pick = key => next => { state[key] = next; turn("select"); };
  const tools = put("div", { class: "tools" }, [choice("Scatter: x", numeric, x, pick("x")), choice("Scatter: y", numeric, y, pick("y")), choice("Histogram", numeric, spread, pick("spread"))]);
  const pictures = () => [tools, put("div", { class: "grid" }, [scatter(x, y, { names: data.samples.names, what: "samples" }), histogram(`Histogram: ${spread.name}`, spread, "samples")])];
  return [put("h2", {}, "Samples"), ...(numeric.length ? pictures() : [nothing("no numbers about the samples")]), put("h2", {}, "Table"), ...samples.view()];
}

const history_ = () => [put("h2", {}, "History"), data.history.length ? pairs(data.history, ["when", "step", "version", "description", "parameters"]) : nothing("no steps are stored")];

const turn = startPages({ overview, assay, samples: samplesPage, history: history_ }, { counts: { assay: data.assays.length }, sheets: [samples, ...features] });
