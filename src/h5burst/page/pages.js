"use strict";
// The sections of a page by the address's #: `name`, or `name=number` for one that has several.

const main = document.getElementById("main");

// The width of a broad drawing: at most as said, and no wider than the window, so that its text stays readable.
const broad = width => Math.min(width, Math.max(360, main.clientWidth - 50));

// Long tables open for the printer, and as they were afterwards.
const unfold = printed => main.querySelectorAll("details.long").forEach(one => { if (printed && !one.open) one.dataset.was = one.open = true; else if (!printed && one.dataset.was) { one.open = false; delete one.dataset.was; } });

const printFigures = () => put("button", { type: "button", id: "print-figures", onclick: () => { main.classList.add("only-figures"); window.print(); } }, "Print the figures only");

// sections: from a name to the function that makes its elements. counts: how many of a section there are; the keys
// j, k and the arrows go on and back among them. sheets: tables that are printed whole.
function startPages(sections, { counts = {}, sheets = [] } = {}) {
  const last = {}, names = Object.keys(sections);

  const show = (keep = "") => {
    const [, asked, number] = /^(.*?)(?:=(\d+))?$/s.exec(decodeURIComponent(location.hash.slice(1)));
    const labels = new Map([...document.querySelectorAll("nav a")].map(link => [link.textContent.toLowerCase(), link.getAttribute("href").slice(1)]));
    const name = names.includes(asked) ? asked : labels.get(asked.toLowerCase()) ?? names[0], at = [...main.querySelectorAll("select")].indexOf(document.activeElement);
    if (name in counts) last[name] = Math.min(Number(number ?? last[name] ?? 0), Math.max(0, counts[name] - 1));
    main.replaceChildren(...sections[name](last[name]));
    for (const link of document.querySelectorAll("nav a")) link.getAttribute("href") === `#${name}` ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
    if (keep === "select") { if (at >= 0) main.querySelectorAll("select")[at].focus(); }
    else { window.scrollTo(0, 0); if (keep === "focus") main.focus({ preventScroll: true }); }
  };

  document.querySelector(".skip").addEventListener("click", event => { event.preventDefault(); main.focus(); });
  window.addEventListener("hashchange", () => show("focus"));
  document.addEventListener("keydown", event => {
    const name = location.hash.slice(1).split("=")[0];
    if (event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || !(name in counts)) return;
    const step = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1 }[event.key], to = last[name] + step;
    if (step && to >= 0 && to < counts[name]) { event.preventDefault(); location.hash = `${name}=${to}`; }
  });
  window.addEventListener("beforeprint", () => { sheets.forEach(sheet => sheet.print(true)); unfold(true); });
  window.addEventListener("afterprint", () => { sheets.forEach(sheet => sheet.print(false)); unfold(false); main.classList.remove("only-figures"); });
  show();
  return show;
}

// Links to the one before and after, and a choice among all.
function stepper(section, names, i) {
  const step = (to, name, key) => to >= 0 && to < names.length ? put("a", { href: `#${section}=${to}`, rel: to < i ? "prev" : "next" }, `${name} (${key})`) : put("span", { class: "nothing" }, `no ${name.toLowerCase()}`);
  const places = names.map((name, at) => ({ name, at }));
  return put("div", { class: "tools" }, [step(i - 1, "Previous", "k or ←"), step(i + 1, "Next", "j or →"),
    choice("Go to", places, places[i], next => { location.hash = `${section}=${next.at}`; }), put("span", {}, `${i + 1} of ${names.length}`)]);
}
