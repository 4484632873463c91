// What the explorables share: sliders with labels, a chart, a sentence that says the numbers.
// Each explorable is a file that calls IclExplorable.define(name, {
//   alt       what the picture shows, for those who cannot see it
//   controls  sliders: {name, label, value, steps} or {name, label, value, min, max, step},
//             choices: {name, label, value, options: {value: text}}; show(value) is its text
//   values    (state) => numbers: the formula, a function of the state alone
//   draw      (state, numbers, ui) => nodes of the picture
//   say       (state, numbers) => a sentence
// }). The tests call figure.iclValues(state) and compare with icl_lib.
const IclExplorable = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  const html = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const svg = (tag, attributes = {}, ...children) => {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) {
      const short = typeof value === "number" ? Math.round(value * 10) / 10 : value;
      made.setAttribute(name, short);
    }
    made.append(...children);
    return made;
  };
  // a number for people: three digits, no exponent, a minus sign that is one
  const number = (value, digits = 3) => {
    if (Math.abs(value) < 1e-4) return value === 0 ? "0" : "less than 0.0001";
    return String(Number(value.toPrecision(digits))).replace("-", "\u2212");
  };
  const tickText = (value) => String(value).replace("-", "\u2212");
  const range = (from, to, count) =>
    Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1));
  const geometric = (from, to, count) =>
    range(Math.log(from), Math.log(to), count).map(Math.exp);
  const lengths = (from, to, count = 60) => [...new Set(geometric(from, to, count).map(Math.round))];

  // A chart with axes; x and y are {min, max, ticks, label, log}. Lines are cut at its frame.
  function chart({ x, y, width = 360, height = 250 }) {
    const [left, right, top, bottom] = [46, 14, 8, 40];
    const [w, h] = [width - left - right, height - top - bottom];
    const place = ({ min, max, log }, value) => {
      const at = log ? Math.log(value / min) / Math.log(max / min) : (value - min) / (max - min);
      return Math.max(-9, Math.min(10, at)); // far outside stays outside, in small numbers
    };
    const px = (value) => place(x, value) * w;
    const py = (value) => h - place(y, value) * h;
    const inside = svg("svg", { x: left, y: top, width: w, height: h, class: "icl-plot" });
    const axes = svg("g", { class: "icl-axes" });
    axes.append(svg("rect", { x: left, y: top, width: w, height: h }));
    for (const tick of x.ticks) {
      const at = left + px(tick);
      axes.append(svg("line", { x1: at, x2: at, y1: top + h, y2: top + h + 4 }));
      axes.append(svg("text", { x: at, y: top + h + 16, "text-anchor": "middle" }, tickText(tick)));
    }
    for (const tick of y.ticks) {
      const at = top + py(tick);
      axes.append(svg("line", { x1: left - 4, x2: left, y1: at, y2: at }));
      axes.append(svg("text", { x: left - 7, y: at + 4, "text-anchor": "end" }, tickText(tick)));
    }
    axes.append(
      svg("text", { x: left + w / 2, y: height - 6, "text-anchor": "middle" }, x.label),
      svg("text", { transform: `translate(11 ${top + h / 2}) rotate(-90)`, "text-anchor": "middle" }, y.label),
    );
    const size = `flex: ${width} 1 ${0.8 * width}px; max-width: ${Math.round(width / 0.75)}px`; // charts in a row are equally high
    const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "icl-chart", style: size }, axes, inside);
    const add = (node) => (inside.append(node), node);
    return {
      root,
      inside,
      // points [[x, y], ...] as a line of series 1 to 5
      line: (points, series) =>
        add(svg("polyline", {
          class: `icl-line icl-series-${series}`,
          points: points.map(([a, b]) => `${px(a).toFixed(1)},${py(b).toFixed(1)}`).join(" "),
        })),
      // marks: what the reader moves (dot), a minimum (triangle), a saddle (cross)
      dot: (a, b, series) =>
        add(svg("circle", { cx: px(a), cy: py(b), r: 5, class: `icl-mark icl-series-${series}` })),
      triangle: (a, b, series) => {
        const [u, v] = [px(a), py(b)];
        const points = `${u.toFixed(1)},${v.toFixed(1)} ${(u - 6).toFixed(1)},${(v - 11).toFixed(1)} ${(u + 6).toFixed(1)},${(v - 11).toFixed(1)}`;
        return add(svg("polygon", { points, class: `icl-mark icl-series-${series}` }));
      },
      cross: (a, b, series) => {
        const [u, v] = [px(a), py(b)];
        return add(svg("path", { d: `M${u - 5} ${v - 5}l10 10m0-10l-10 10`, class: `icl-line icl-solid icl-series-${series}` }));
      },
      // rectangles [from x, to x, from y, to y] in one shape
      area: (parts, series) => {
        const d = parts.map(([a, b, c, e]) =>
          `M${px(a).toFixed(1)} ${py(c).toFixed(1)}H${px(b).toFixed(1)}V${py(e).toFixed(1)}H${px(a).toFixed(1)}z`);
        return add(svg("path", { d: d.join(""), class: `icl-area icl-series-${series}` }));
      },
      // where on the chart a pointer is
      under: (event) => {
        const box = root.getBoundingClientRect();
        const scale = width / box.width;
        const s = ((event.clientX - box.left) * scale - left) / w;
        const t = 1 - ((event.clientY - box.top) * scale - top) / h;
        return [x.min + s * (x.max - x.min), y.min + t * (y.max - y.min)];
      },
    };
  }

  // the names of the series below the chart: {1: "text"}; with a mark instead of a line where told
  function legend(names, marks = {}) {
    const items = Object.entries(names).map(([series, text]) => {
      const sample = { dot: ["circle", { cx: 12, cy: 6, r: 5 }], triangle: ["polygon", { points: "12,11 6,1 18,1" }] };
      const [tag, shape] = sample[marks[series]] || ["line", { x1: 0, x2: 24, y1: 6, y2: 6 }];
      const look = marks[series] ? "icl-mark" : "icl-line";
      const drawn = svg(tag, { ...shape, class: `${look} icl-series-${series}` });
      const picture = svg("svg", { viewBox: "0 0 24 12", "aria-hidden": "true" }, drawn);
      return html("li", {}, picture, text);
    });
    return html("ul", { class: "icl-legend" }, ...items);
  }

  function slider(control, id, change) {
    const { steps, show = (value) => number(value) } = control;
    const [min, max, step] = steps ? [0, steps.length - 1, 1] : [control.min, control.max, control.step];
    const read = (at) => (steps ? steps[at] : at);
    const nearest = (value) =>
      steps ? steps.reduce((best, s, i) => (Math.abs(s - value) < Math.abs(steps[best] - value) ? i : best), 0) : value;
    const input = html("input", { type: "range", id, min, max, step, autocomplete: "off" });
    const output = html("output", { for: id, "aria-live": "off" });
    const set = (value) => {
      input.value = nearest(value);
      output.value = show(value);
      input.setAttribute("aria-valuetext", show(value));
    };
    input.addEventListener("input", () => change(read(Number(input.value))));
    const label = html("label", { for: id }, control.label);
    return { set, node: html("div", { class: "icl-control" }, label, output, input) };
  }

  function choice(control, id, change) {
    const inputs = Object.entries(control.options).map(([value, text]) => {
      const input = html("input", { type: "radio", name: id, value, autocomplete: "off" });
      input.addEventListener("change", () => change(value));
      return [input, html("label", {}, input, text)];
    });
    const set = (value) => inputs.forEach(([input]) => { input.checked = input.value === value; });
    const legend_ = html("legend", {}, control.label);
    const node = html("fieldset", { class: "icl-control" }, legend_, ...inputs.map(([, label]) => label));
    return { set, node };
  }

  function enliven(figure, { alt, controls, values, draw, say }) {
    const stage = figure.querySelector(".icl-explorable-stage");
    const state = Object.fromEntries(controls.map((control) => [control.name, control.value]));
    const made = {};
    const picture = html("div", { class: "icl-pictures", role: "img", "aria-label": alt });
    const names = html("div");
    const output = html("output", { class: "icl-says", "aria-live": "polite" });
    const move = (changes) => {
      Object.assign(state, changes);
      show();
    };
    const ui = { chart, legend, svg, number, range, geometric, move };
    function show() {
      const numbers = values(state);
      const drawn = draw(state, numbers, ui);
      picture.replaceChildren(...drawn.pictures);
      names.replaceChildren(drawn.legend);
      output.textContent = say(state, numbers);
      for (const { name } of controls) made[name].set(state[name]);
    }
    const panel = html("div", { class: "icl-controls" });
    for (const control of controls) {
      const make = control.options ? choice : slider;
      const change = (value) => move({ [control.name]: value });
      made[control.name] = make(control, `${figure.id}-${control.name}`, change);
      panel.append(made[control.name].node);
    }
    stage.replaceChildren(picture, names, output);
    stage.after(panel);
    show();
    Object.assign(figure, { iclValues: values, iclState: state, iclMove: move });
  }

  const define = (name, parts) =>
    document.querySelectorAll(`[data-explorable="${name}"]`).forEach((figure) => enliven(figure, parts));
  return { define, number, range, geometric, lengths };
})();
