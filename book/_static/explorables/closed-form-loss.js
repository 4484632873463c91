// Chapter 3: the loss of the layer A = aI for inputs with covariance I, as a function of a.
(() => {
  const { number, lengths, range } = IclExplorable;

  // E|(a Lhat - I)w|^2 / d with E Lhat = I and E Lhat^2 = (1 + (d+1)/N) I
  const errorAt = (a, { N, d }) => a * a * (1 + (d + 1) / N) - 2 * a + 1;

  IclExplorable.define("closed-form-loss", {
    alt: "The error as a function of the weight a: a parabola whose minimum lies left of 1",
    controls: [
      { name: "N", label: "examples in a prompt, N", value: 5, steps: lengths(1, 200) },
      { name: "d", label: "dimensions, d", value: 1, min: 1, max: 20, step: 1 },
      { name: "a", label: "weight a", value: 1, min: 0, max: 1.5, step: 0.01 },
    ],
    values: (state) => {
      const best = state.N / (state.N + state.d + 1);
      const [error, least, first] = [state.a, best, 1].map((a) => errorAt(a, state));
      return { error, best, least, first };
    },
    draw: (state, { error, best, least }, { chart, legend }) => {
      const picture = chart({
        x: { min: 0, max: 1.5, ticks: [0, 0.5, 1, 1.5], label: "weight a" },
        y: { min: 0, max: 1.5, ticks: [0, 0.5, 1, 1.5], label: "error / d" },
      });
      const grid = range(0, 1.5, 61);
      picture.line([[0, 1], [1.5, 1]], 5);
      picture.line(grid.map((a) => [a, (a - 1) ** 2]), 3);
      picture.line(grid.map((a) => [a, errorAt(a, state)]), 1);
      picture.triangle(best, least, 1);
      picture.dot(state.a, error, 2);
      const names = { 1: `N = ${state.N}, its minimum a triangle`, 2: "your a", 3: "N = \u221e", 5: "predicting zero" };
      return { pictures: [picture.root], legend: legend(names, { 2: "dot" }) };
    },
    say: ({ a }, { error, best, least }) =>
      `At a\u00a0=\u00a0${number(a)} the error is ${number(error)} of that of predicting zero. ` +
      `The smallest, ${number(least)}, is at a\u00a0=\u00a0${number(best)}.`,
  });
})();
