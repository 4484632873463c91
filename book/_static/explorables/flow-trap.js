// Chapter 4: gradient descent on the exact loss from starts with u12 = alpha e1, u21 = beta e1.
// From there U11 stays diagonal and the two blocks stay along the first axis: eight numbers move.
(() => {
  const { number } = IclExplorable;
  const LAM = [2, 1, 0.5, 0.25, 0.125];
  const n = 1 / 20; // 1/N
  const [STEPS, STEP_SIZE, SIGMA] = [3000, 0.005, 0.3]; // the curvature reaches 230: steps of 0.01 swing
  const [LOWEST, TRAP] = [0.397111, 1.000424];
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const l = LAM[0]; // the eigenvalue of the axis of the two blocks
  const t = sum(LAM);
  const s = sum(LAM.map((lam) => lam * lam));
  const second = LAM.map((lam) => (1 + n) * lam * lam + n * t * lam); // of Lambda Gamma
  const fourth = t * t + 2 * n * s + 2 * ((1 + n) * s + n * t * t); // E (w' Lhat w)^2
  const k = l * l * (t + 2 * n * l);

  // Loss of the state {v, alpha, beta, u}, v the diagonal of U11, and its gradient.
  // 2L = tr Lambda + odd + even, see icl_lib.theory.landscape.population_loss.
  function lossAndGradient({ v, alpha, beta, u }) {
    const A = v.map((value, i) => u * value + (i ? 0 : alpha * beta));
    const t1 = sum(v.map((value, i) => value * LAM[i]));
    const t2 = sum(v.map((value, i) => (value * LAM[i]) ** 2));
    const line = alpha * l * v[0] + u * t * beta;
    const m = t1 + 2 * v[0] * l;
    const square = t1 * t1 + 2 * t2 + 4 * l * v[0] * t1 + 8 * (l * v[0]) ** 2;
    const even = {
      prompt: alpha ** 2 * l * ((1 + n) * (l * v[0]) ** 2 + n * t2),
      label: 2 * u * alpha * beta * k * v[0] + (u * beta) ** 2 * fourth * l,
      query: 2 * n * line * alpha * l * m + (n * alpha) ** 2 * l * square,
    };
    const odd = sum(A.map((a, i) => a * (second[i] * a * LAM[i] - 2 * LAM[i] ** 2)));
    const pull = A.map((a, i) => 2 * second[i] * LAM[i] * a - 2 * LAM[i] ** 2); // d odd / dA

    const dv = v.map((value, i) => {
      const lam = LAM[i];
      const first = i === 0 ? 1 : 0;
      return u * pull[i]
        + alpha ** 2 * l * (first * 2 * (1 + n) * l * l * value + 2 * n * value * lam * lam)
        + first * 2 * u * alpha * beta * k
        + 2 * n * alpha * l * (first * (alpha * l * m + 2 * line * l) + line * lam)
        + (n * alpha) ** 2 * l * (2 * t1 * lam + 4 * value * lam * lam + 4 * l * (first * t1 + v[0] * lam) + first * 16 * l * l * value);
    });
    const dalpha = beta * pull[0] + 2 * alpha * l * ((1 + n) * (l * v[0]) ** 2 + n * t2) + 2 * u * beta * k * v[0]
      + 2 * n * l * m * (line + alpha * l * v[0]) + 2 * n * n * alpha * l * square;
    const dbeta = alpha * pull[0] + 2 * u * alpha * k * v[0] + 2 * u * u * fourth * l * beta + 2 * n * alpha * l * m * u * t;
    const du = sum(v.map((value, i) => value * pull[i])) + 2 * alpha * beta * k * v[0]
      + 2 * u * beta ** 2 * fourth * l + 2 * n * alpha * l * m * t * beta;
    const loss = (t + odd + even.prompt + even.label + even.query) / 2;
    return { loss, v: dv, alpha: dalpha, beta: dbeta, u: du };
  }

  // the losses on the way, one for each step, and the state at the end
  function descend({ alpha, beta }) {
    let now = { v: LAM.map(() => SIGMA / Math.sqrt(LAM.length)), alpha, beta, u: SIGMA };
    const losses = [];
    for (let step = 0; step < STEPS; step += 1) {
      const slope = lossAndGradient(now);
      const h = STEP_SIZE / 2; // the gradient above is that of 2L
      losses.push(slope.loss);
      now = {
        v: now.v.map((value, i) => value - h * slope.v[i]),
        alpha: now.alpha - h * slope.alpha,
        beta: now.beta - h * slope.beta,
        u: now.u - h * slope.u,
      };
    }
    losses.push(lossAndGradient(now).loss);
    return { losses, end: now };
  }

  // Which starts are trapped: a row for each alpha from -1 to 1 in steps of 0.1, beta likewise.
  // Computed once, too slow for a page to do; the tests descend from each of them again.
  const MAP = (
    "###############...... ##############....... #############........ ############........# " +
    "###########........## ##########........### #########.........### ########.........#### " +
    "########........##### #######........###### ######.........###### ######........####### " +
    "#####........######## ####.........######## ###.........######### ###........########## " +
    "##........########### #........############ ........############# .......############## " +
    "......###############"
  ).split(" ");
  // the runs of trapped starts in each row, as rectangles
  const trapped = MAP.flatMap((row, i) =>
    [...row.matchAll(/#+/g)].map((run) => {
      const [alpha, beta] = [i, run.index].map((at) => -1 + at / 10);
      return [alpha - 0.05, alpha + 0.05, beta - 0.05, beta + run[0].length / 10 - 0.05];
    }));

  IclExplorable.define("flow-trap", {
    alt: "Left the plane of starts with the region that ends in the trap, right the loss on the way down from your start",
    controls: [
      { name: "alpha", label: "\u03b1, start of u\u2081\u2082", value: 0.6, min: -1, max: 1, step: 0.01 },
      { name: "beta", label: "\u03b2, start of u\u2082\u2081", value: 0.5, min: -1, max: 1, step: 0.01 },
    ],
    values: (state) => {
      const { losses, end } = descend(state);
      const first = end.u * end.v[0] + end.alpha * end.beta;
      return { loss: losses.at(-1), early: losses[500], first, secondAxis: end.u * end.v[1] };
    },
    draw: (state, { loss }, { chart, legend, move }) => {
      const ticks = [-1, 0, 1];
      const axis = (label) => ({ min: -1.05, max: 1.05, ticks, label });
      const plane = chart({ width: 270, x: axis("\u03b1, start of u\u2081\u2082"), y: axis("\u03b2, start of u\u2082\u2081") });
      plane.area(trapped, 4);
      plane.cross(0, 0, 5);
      plane.dot(state.alpha, state.beta, 2);
      plane.root.classList.add("icl-clickable");
      plane.root.addEventListener("click", (event) => {
        const [alpha, beta] = plane.under(event).map((value) => Math.round(100 * Math.max(-1, Math.min(1, value))) / 100);
        move({ alpha, beta });
      });
      const way = chart({
        x: { min: 0, max: STEPS, ticks: [0, 1000, 2000, 3000], label: "step of gradient descent" },
        y: { min: 0, max: 2.5, ticks: [0, 0.5, 1, 1.5, 2, 2.5], label: "loss L" },
      });
      way.line([[0, LOWEST], [STEPS, LOWEST]], 3);
      way.line([[0, TRAP], [STEPS, TRAP]], 4);
      const { losses } = descend(state);
      way.line(losses.flatMap((value, i) => (i % (i < 80 ? 2 : 40) ? [] : [[i, value]])), 1);
      way.dot(STEPS, loss, 2);
      const names = {
        4: "starts that are trapped; the trap", 3: "global minimum", 1: "loss on the way",
        2: "your start (click or slide) and its end", 5: "cross: the paper\u2019s start",
      };
      return { pictures: [plane.root, way.root], legend: legend(names, { 2: "dot" }) };
    },
    say: ({ alpha, beta }, { loss }) =>
      `From \u03b1\u00a0=\u00a0${number(alpha)}, \u03b2\u00a0=\u00a0${number(beta)} the loss is ${number(loss)} after ${STEPS} steps: ` +
      (loss > 0.8 ? `caught, and creeping toward the trap at ${number(TRAP)}.` : `on the way to the global minimum, ${number(LOWEST)}.`),
  });
})();
