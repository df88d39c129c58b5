"use strict";
// Tables: short ones of pairs, and long ones that sort, filter by text and by ranges, and can be taken away as CSV.

// written: for columns whose numbers are of one kind, how they are written.
function pairs(rows, heads, written = []) {
  if (!rows.length) return nothing("nothing stored");
  const text = (one, i) => typeof one === "string" && (!i || one.length > 16) ? breakable(one) : (written[i] ?? (one => shown(one, 7)))(one); // units stay whole
  const cell = (one, i) => put(i ? "td" : "th", i ? { class: written[i] ? "number" : null } : { scope: "row" }, one instanceof Node ? one : text(one, i));
  return put("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": heads.join(", ") }, put("table", {}, [
    put("thead", {}, put("tr", {}, heads.map((head, i) => put("th", { scope: "col", class: written[i] ? "number" : null }, head)))),
    put("tbody", {}, rows.map(row => put("tr", {}, row.map(cell)))),
  ]));
}

// A table that may be long: from a dozen rows on it is opened by a click; printed, it is open.
function folded(rows, heads) {
  const table = pairs(rows, heads);
  return rows.length <= 12 ? table : put("details", { class: "long" }, [put("summary", {}, `${rows.length} rows`), table]);
}

// How the numbers of a column are written: with as many decimals as give its median four digits, and all alike.
function decimals(values) {
  const sizes = finite(values).filter(value => value).map(Math.abs).sort((a, b) => a - b);
  if (!sizes.length || sizes.every(Number.isInteger)) return shown;
  const places = Math.min(8, Math.max(0, 3 - Math.floor(Math.log10(median(sizes)))));
  return value => {
    if (typeof value !== "number") return shown(value);
    const text = value.toFixed(places), is_lost = Number(text) === 0 && Math.abs(value) > 1e-12;
    return is_lost || Math.abs(value) >= 1e7 ? value.toExponential(1) : Number(text) === 0 ? text.replace("-", "") : text;
  };
}

// Times of a recording.
const seconds = value => typeof value === "number" ? value.toFixed(3) : shown(value);

function choice(name, options, current, change) {
  const select = put("select", { onchange: event => change(options[event.target.selectedIndex]) }, options.map(one => put("option", { selected: one === current }, one.name)));
  return put("label", {}, [name, select]);
}

const ROWS = 200;
const PRINTED = 12; // columns beside the names that one sheet of paper has room for

// rows: their names. what: what a row is. columns: {name, unit, what, values}. chosen: those that are shown at first.
// link: from a row's number to its address, or null. file: the CSV's name.
class Sheet {
  constructor({ id, rows, what, columns, chosen, link, file }) {
    Object.assign(this, { id, names: rows, what, columns, link, file, chosen: new Set(chosen), sort: null, down: false, text: "", page: 0, whole: false });
    this.numeric = columns.filter(one => finite(one.values).length);
    this.ranges = this.numeric.length ? [{ of: this.numeric[0], low: null, high: null }] : [];
    this.written = new Map(columns.map(one => [one, decimals(one.values)]));
    this.body = put("div");
  }

  kept() {
    const words = this.text.toLowerCase(), texts = [...this.chosen].map(one => one.values);
    const has = i => !words || [this.names[i], ...texts.map(values => values[i])].some(one => one !== null && String(one).toLowerCase().includes(words));
    const within = i => this.ranges.every(({ of, low, high }) => {
      const value = of.values[i];
      return low === null && high === null || typeof value === "number" && (low === null || value >= low) && (high === null || value <= high);
    });
    const kept = this.names.map((_, i) => i).filter(i => has(i) && within(i));
    if (!this.sort) return kept;
    const key = this.sort === "name" ? this.names : this.sort.values;
    const order = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    return kept.sort((a, b) => key[a] === null ? (key[b] === null ? 0 : 1) : key[b] === null ? -1 : order(key[a], key[b]) * (this.down ? -1 : 1));
  }

  view() {
    this.fill();
    const changed = () => { this.page = 0; this.fill(); };
    const box = (one, on) => put("input", { type: "checkbox", checked: this.chosen.has(one), onchange: event => { event.target.checked ? this.chosen.add(one) : this.chosen.delete(one); on(); } });
    const boxes = this.columns.map(one => put("label", { title: one.what }, [box(one, () => this.fill()), ` ${titled(one)}`]));
    const listed = text => boxes.forEach(box => { box.hidden = !box.textContent.toLowerCase().includes(text.toLowerCase()); });
    const search = put("label", {}, ["Columns with ", put("input", { type: "search", id: `${this.id}-columns`, oninput: event => listed(event.target.value) })]);
    const limits = put("div", { class: "tools" });
    const draw = () => limits.replaceChildren(...this.ranges.flatMap(range => this.limits(range, changed)), this.numeric.length
      ? put("button", { type: "button", onclick: () => { this.ranges.push({ of: this.numeric[0], low: null, high: null }); draw(); limits.querySelectorAll("select")[this.ranges.length - 1].focus(); } }, "One more range") : "");
    draw();
    return [
      put("div", { class: "tools" }, [
        put("label", {}, ["Text in a row", put("input", { type: "search", id: `${this.id}-filter`, value: this.text, oninput: event => { this.text = event.target.value; changed(); } })]),
        put("button", { type: "button", id: `${this.id}-download`, onclick: () => this.download() }, "Download as CSV"),
      ]), limits,
      put("details", {}, [put("summary", {}, `Columns (${this.columns.length})`), search, put("div", { class: "columns" }, boxes)]), this.body,
    ];
  }

  limits(range, changed) {
    const number = (name, side) => put("label", {}, [name, put("input", { type: "number", step: "any", style: "width:8rem", value: range[side], oninput: event => { range[side] = event.target.value === "" ? null : Number(event.target.value); changed(); } })]);
    return [choice("Range of", this.numeric, range.of, next => { range.of = next; changed(); }), number("at least", "low"), number("at most", "high")];
  }

  heading(name, key, { unit = "", what = "", number = false } = {}) {
    const mark = this.sort === key ? (this.down ? " ▼" : " ▲") : "";
    const turn = event => {
      this.down = this.sort === key && !this.down;
      this.sort = key;
      const at = [...this.body.querySelectorAll("th button")].indexOf(event.currentTarget);
      this.fill();
      this.body.querySelectorAll("th button")[at].focus();
    };
    const text = [...breakable(name), mark, unit ? put("span", { class: "unit" }, unit) : null];
    return put("th", { scope: "col", class: number ? "number" : null, "aria-sort": mark ? (this.down ? "descending" : "ascending") : "none" }, put("button", { type: "button", title: what, onclick: turn }, text));
  }

  fill() {
    const kept = this.kept(), length = this.whole ? kept.length : ROWS, pages = Math.max(1, Math.ceil(kept.length / length || 1)), columns = [...this.chosen];
    this.page = Math.min(this.page, pages - 1);
    const cell = (one, value) => put("td", { class: this.numeric.includes(one) ? "number" : null }, this.written.get(one)(value));
    const turn = (step, name) => put("button", { type: "button", disabled: this.page + step < 0 || this.page + step >= pages, onclick: () => { this.page += step; this.fill(); } }, name);
    const named = i => this.link ? put("a", { href: this.link(i) }, this.names[i]) : this.names[i];
    const line = (i, some) => put("tr", {}, [put("th", { scope: "row" }, named(i)), ...some.map(one => cell(one, one.values[i]))]);
    const heads = some => [this.heading(this.what, "name"), ...some.map(one => this.heading(one.name, one, { ...one, number: this.numeric.includes(one) }))];
    const table = (some, at) => put("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Table of ${this.what}s` }, put("table", { id: at ? null : this.id }, [
      put("thead", {}, put("tr", {}, heads(some))), put("tbody", {}, kept.slice(this.page * length, (this.page + 1) * length).map(i => line(i, some))),
    ]));
    const parts = this.whole ? columns.flatMap((_, i) => i % PRINTED ? [] : [columns.slice(i, i + PRINTED)]) : [columns];
    this.body.replaceChildren(
      put("p", { role: "status", id: `${this.id}-count` }, `${kept.length} of ${this.names.length} ${this.what}s`),
      put("div", { class: "sheet" }, (parts.length ? parts : [[]]).map(table)),
      pages > 1 ? put("div", { class: "tools" }, [turn(-1, "Earlier rows"), put("span", {}, `page ${this.page + 1} of ${pages}`), turn(1, "Later rows")]) : "",
      put("h3", {}, "What the columns are"), pairs(columns.filter(one => one.what || one.unit).map(one => [one.name, one.unit, one.what]), ["column", "unit", "meaning"]));
  }

  // All rows for the printer, and back.
  print(whole) {
    this.whole = whole;
    this.fill();
  }

  csv() {
    const quoted = value => { const text = value === null || value === undefined ? "" : String(value); return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };
    const lines = [[this.what, ...this.columns.map(one => one.name)], ...this.kept().map(i => [this.names[i], ...this.columns.map(one => one.values[i])])];
    return lines.map(line => line.map(quoted).join(",")).join("\r\n") + "\r\n";
  }

  download() {
    const address = URL.createObjectURL(new Blob([this.csv()], { type: "text/csv" }));
    put("a", { href: address, download: this.file.replace(/[^\w.-]+/g, "_") }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }
}
