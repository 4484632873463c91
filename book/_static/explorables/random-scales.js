// Chapter 8: covariances c diag(Exp(1)), new in every prompt; who copes with which scale c.
(() => {
  const { number, lengths, geometric } = IclExplorable;
  const D = 5;
  const EXPONENTIAL = (N) => 1 / (3 + (D + 5) / N); // the best A = alpha I for c = 1
  const FIXED = (N) => 1 / (1 + (D + 1) / N); // and for the covariance I

  // error of A = alpha I after M examples at scale c, relative to predicting zero, which has c
  const errorOf = (alpha, c, M) =>
    alpha ** 2 * c ** 2 * (6 + (12 + 2 * (D - 1)) / M) - 4 * alpha * c + 1;

  const contest = ({ c, N, M }) => ({
    layer: errorOf(EXPONENTIAL(N), c, M),
    fixed: errorOf(FIXED(N), c, M),
    retrained: errorOf(EXPONENTIAL(N) / c, c, M),
    whitened: ((D + 1) / (N + D + 1)) ** 2,
  });

  IclExplorable.define("random-scales", {
    alt: "Errors against the scale of the random covariance: those of fixed layers explode, those of methods that use the covariance of the prompt are level",
    controls: [
      { name: "c", label: "scale c in the test", value: 4, steps: geometric(0.1, 10, 81) },
      { name: "N", label: "training length N", value: 20, steps: lengths(5, 1000) },
      { name: "M", label: "test length M, at least 5", value: 40, steps: lengths(5, 1000) },
    ],
    values: contest,
    draw: (state, values, { chart, legend }) => {
      const picture = chart({
        x: { min: 0.1, max: 10, log: true, ticks: [0.1, 1, 10], label: "scale c of the covariances in the test" },
        y: { min: 0.01, max: 1000, log: true, ticks: [0.01, 0.1, 1, 10, 100, 1000], label: "error / predicting zero" },
      });
      const order = ["layer", "fixed", "retrained", "whitened"];
      const grid = geometric(0.1, 10, 61);
      picture.line([[0.1, 1], [10, 1]], 5);
      order.forEach((name, at) => {
        picture.line(grid.map((c) => [c, contest({ ...state, c })[name]]), at + 1);
        picture.dot(state.c, values[name], at + 1);
      });
      const names = {
        1: "layer trained at c = 1", 2: "layer trained on \u039b = I", 3: "best single layer for this c",
        4: "layer on whitened prompts", 5: "predicting zero",
      };
      return { pictures: [picture.root], legend: legend(names) };
    },
    say: ({ c }, { layer, fixed, retrained, whitened }) =>
      `At c\u00a0=\u00a0${number(c)}, relative to predicting zero: ${number(layer)} for the layer trained at c\u00a0=\u00a01, ` +
      `${number(fixed)} for the one trained on \u039b\u00a0=\u00a0I, ${number(retrained)} for the best single layer for this scale, ` +
      `${number(whitened)} on whitened prompts, and 0 for least squares.`,
  });
})();
