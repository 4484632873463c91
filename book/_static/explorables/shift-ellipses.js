// Chapter 7: a layer of two dimensions whose test inputs are turned and scaled.
(() => {
  const { number, range } = IclExplorable;
  const [LONG, SHORT, N, M] = [1.6, 0.4, 20, 40];
  const TRACE = LONG + SHORT;
  // eigenvalues of A = Gamma^{-1}, which training has stored
  const [A1, A2] = [LONG, SHORT].map((value) => 1 / ((1 + 1 / N) * value + TRACE / N));

  // the entries xx, xy, yy of the training covariance, turned by an angle and scaled by c^2
  function covariance(angle, scale) {
    const [cos, sin] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
    const c2 = scale * scale;
    return [
      c2 * (LONG * cos * cos + SHORT * sin * sin),
      c2 * (LONG - SHORT) * cos * sin,
      c2 * (LONG * sin * sin + SHORT * cos * cos),
    ];
  }

  // The exact error of Chapter 7: R = tr(A Q A B) - 2 tr(A Q L) + tr Q, with E[b b^T] = B = (1 + 1/M) L^2 + tr(L)/M L
  function error([xx, xy, yy], [qx, qxy, qy]) {
    const trace = xx + yy;
    const bxx = (1 + 1 / M) * (xx * xx + xy * xy) + (trace / M) * xx;
    const bxy = (1 + 1 / M) * (xy * trace) + (trace / M) * xy;
    const byy = (1 + 1 / M) * (xy * xy + yy * yy) + (trace / M) * yy;
    const squared = A1 * A1 * qx * bxx + 2 * A1 * A2 * qxy * bxy + A2 * A2 * qy * byy;
    const crossed = A1 * (qx * xx + qxy * xy) + A2 * (qxy * xy + qy * yy);
    return (squared - 2 * crossed + qx + qy) / (qx + qy);
  }

  const TRAINED = covariance(0, 1);
  const errorAt = (angle, scale, who) => {
    const test = covariance(angle, scale);
    return error(who === "query" ? TRAINED : test, test);
  };

  // the ellipse that holds most of the inputs: two standard deviations along each axis
  const ellipse = (angle, scale) =>
    range(0, 2 * Math.PI, 49).map((t) => {
      const [u, v] = [2 * scale * Math.sqrt(LONG) * Math.cos(t), 2 * scale * Math.sqrt(SHORT) * Math.sin(t)];
      const turn = (angle * Math.PI) / 180;
      return [u * Math.cos(turn) - v * Math.sin(turn), u * Math.sin(turn) + v * Math.cos(turn)];
    });

  IclExplorable.define("shift-ellipses", {
    alt: "Left the ellipses of the training and the test inputs, right the error against the scale of the test inputs",
    controls: [
      { name: "who", label: "Drawn anew:", value: "prompt", options: { prompt: "the whole prompt", query: "the query only" } },
      { name: "angle", label: "turned by", value: 45, min: 0, max: 90, step: 1, show: (angle) => `${angle}\u00b0` },
      { name: "scale", label: "inputs scaled by c", value: 1, min: 0.1, max: 2.2, step: 0.05 },
    ],
    values: ({ angle, scale, who }) => {
      const [xx, xy, yy] = covariance(angle, scale);
      return { error: errorAt(angle, scale, who), xx, xy, yy };
    },
    draw: ({ angle, scale, who }, values, { chart, legend }) => {
      const ticks = [-5, 0, 5];
      const plane = chart({
        width: 260,
        x: { min: -5.8, max: 5.8, ticks, label: "first input" },
        y: { min: -5.8, max: 5.8, ticks, label: "second input" },
      });
      plane.line(ellipse(0, 1), 3);
      plane.line(ellipse(angle, scale), 1);
      const picture = chart({
        x: { min: 0, max: 2.2, ticks: [0, 0.5, 1, 1.5, 2], label: "scale c" },
        y: { min: 0.01, max: 100, log: true, ticks: [0.01, 0.1, 1, 10, 100], label: "error / predicting zero" },
      });
      const grid = range(0.02, 2.2, 80);
      picture.line([[0, 1], [2.2, 1]], 5);
      picture.line(grid.map((c) => [c, errorAt(0, c, who)]), 3);
      picture.line(grid.map((c) => [c, errorAt(angle, c, who)]), 1);
      picture.dot(scale, values.error, 2);
      const names = { 1: "test", 3: "as in training, not turned", 2: "your test", 5: "predicting zero" };
      return { pictures: [plane.root, picture.root], legend: legend(names, { 2: "dot" }) };
    },
    say: ({ angle, scale, who }, { error }) =>
      `${who === "query" ? "The query alone is" : "All inputs are"} turned by ${angle}\u00b0 and scaled by ${number(scale)}: ` +
      `the error is ${number(error)} times that of predicting zero.`,
  });
})();
