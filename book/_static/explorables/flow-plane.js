// Chapter 4: the gradient flow of two numbers, a' = u(1 - gamma ua), u' = a(1 - gamma ua).
(() => {
  const { number, range } = IclExplorable;
  const GAMMA = 1 + 2 / 20; // N = 20, one dimension, variance 1
  const STEP = 0.005;
  const EDGE = 2;

  const slope = ([a, u]) => [u * (1 - GAMMA * u * a), a * (1 - GAMMA * u * a)];
  const along = ([a, u], [da, du], h) => [a + h * da, u + h * du];

  // the path up to time t, by the classical Runge-Kutta method
  function path({ a, u, t }) {
    const points = [[a, u]];
    const count = Math.round(t / STEP);
    for (let i = 0; i < count; i += 1) {
      const at = points[i];
      const k1 = slope(at);
      const k2 = slope(along(at, k1, STEP / 2));
      const k3 = slope(along(at, k2, STEP / 2));
      const k4 = slope(along(at, k3, STEP));
      const mean = [0, 1].map((j) => (k1[j] + 2 * k2[j] + 2 * k3[j] + k4[j]) / 6);
      points.push(along(at, mean, STEP));
    }
    return points;
  }

  // u^2 - a^2 is kept and a + u keeps its sign: that decides where a path ends
  function end({ a, u }) {
    const kept = u * u - a * a;
    const side = Math.sign(Math.round((a + u) * 1e9));
    const size = Math.sqrt((kept + Math.hypot(kept, 2 / GAMMA)) / 2);
    return side ? [side / (GAMMA * size), side * size] : [0, 0];
  }

  function drawField({ inside, root }, svg, toPixels) {
    const strokes = range(-1.8, 1.8, 10).flatMap((a) =>
      range(-1.8, 1.8, 10).map((u) => {
        const [da, du] = slope([a, u]);
        const size = Math.hypot(da, du) || 1;
        const [x, y] = toPixels(a, u);
        return `M${x.toFixed(0)} ${y.toFixed(0)}l${((7 * da) / size).toFixed(1)} ${((-7 * du) / size).toFixed(1)}`;
      }),
    );
    inside.append(svg("path", { class: "icl-field", d: strokes.join("") }));
    root.classList.add("icl-clickable");
  }

  IclExplorable.define("flow-plane", {
    alt: "The plane of the two weights a and u: two curves of minima, the saddle between them, and the path from your start",
    controls: [
      { name: "a", label: "start of a", value: 0.4, min: -2, max: 2, step: 0.01 },
      { name: "u", label: "start of u", value: -0.35, min: -2, max: 2, step: 0.01 },
      { name: "t", label: "time t", value: 8, min: 0, max: 12, step: 0.1 },
    ],
    values: (state) => {
      const [a, u] = path(state).at(-1);
      const [endA, endU] = end(state);
      return { a, u, excess: 0.5 * GAMMA * (u * a - 1 / GAMMA) ** 2, endA, endU };
    },
    draw: (state, { a, u }, { chart, legend, svg, move }) => {
      const ticks = [-2, -1, 0, 1, 2];
      const [x, y] = ["weight a", "weight u"].map((label) => ({ min: -EDGE, max: EDGE, ticks, label }));
      const plane = chart({ width: 330, height: 320, x, y });
      const [w, h] = ["width", "height"].map((side) => Number(plane.inside.getAttribute(side)));
      drawField(plane, svg, (a, u) => [((a + EDGE) / 4) * w, ((EDGE - u) / 4) * h]);
      const branch = range(1 / (GAMMA * EDGE), EDGE, 50).map((a) => [a, 1 / (GAMMA * a)]);
      plane.line(branch, 1);
      plane.line(branch.map(([a, u]) => [-a, -u]), 1);
      plane.line([[-EDGE, EDGE], [EDGE, -EDGE]], 5);
      plane.cross(0, 0, 5);
      plane.line(path(state).filter((_, i, all) => i % 20 === 0 || i === all.length - 1), 2).classList.add("icl-solid");
      plane.triangle(state.a, state.u, 4);
      plane.dot(a, u, 2);
      const setStart = (event) => {
        const [s, t] = plane.under(event).map((value) => Math.round(100 * Math.max(-EDGE, Math.min(EDGE, value))) / 100);
        move({ a: s, u: t });
      };
      plane.root.addEventListener("click", setStart);
      const names = { 1: "minima", 4: "your start (click or slide)", 2: "where it is at time t", 5: "runs into the saddle" };
      return { pictures: [plane.root], legend: legend(names, { 2: "dot", 4: "triangle" }) };
    },
    say: (state, { a, u, excess, endA, endU }) => {
      const goal = endU === 0 ? "It runs into the saddle and never learns." :
        `It ends at a\u00a0=\u00a0${number(endA)}, u\u00a0=\u00a0${number(endU)}.`;
      return `From a\u00a0=\u00a0${number(state.a)}, u\u00a0=\u00a0${number(state.u)} the flow is at a\u00a0=\u00a0${number(a)}, ` +
        `u\u00a0=\u00a0${number(u)} at time ${number(state.t)}, and its loss is ${number(excess)} above the minimum. ${goal}`;
    },
  });
})();
