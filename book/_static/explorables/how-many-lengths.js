// Chapter 5: the risk of a layer trained at length N on prompts of length M, exactly.
(() => {
  const { number, lengths } = IclExplorable;
  const D = 5;
  const GRID = lengths(1, 1000, 200);

  // eigenvalues between which there are equal ratios, with mean 1 and condition number kappa
  const spectrum = (kappa) => {
    const raw = Array.from({ length: D }, (_, i) => kappa ** (-i / (D - 1)));
    const mean = raw.reduce((sum, value) => sum + value, 0) / D;
    return raw.map((value) => value / mean);
  };

  // the three terms of the exact risk, divided by that of predicting zero, which is d
  function risk(N, { M, kappa, s2 }) {
    let [bias, variance, noise] = [0, 0, 0];
    for (const value of spectrum(kappa)) {
      const gamma = (1 + 1 / N) * value + D / N; // an eigenvalue of Gamma
      bias += (value * ((value + D) / (N * gamma)) ** 2) / D;
      variance += ((D + value) * (value / gamma) ** 2) / M / D;
      noise += (s2 * (value / gamma) ** 2) / M / D;
    }
    return { bias, variance, noise, total: bias + variance + noise };
  }
  const totalAt = (N, state) => risk(N, state).total;

  function bestLength(state) {
    let best = 1;
    for (let N = 2; N <= 1000; N += 1) if (totalAt(N, state) < totalAt(best, state)) best = N;
    return best;
  }

  IclExplorable.define("how-many-lengths", {
    alt: "Risk against the training length: the bias falls, the variance rises, their sum has a minimum",
    controls: [
      { name: "N", label: "training length N", value: 100, steps: GRID },
      { name: "M", label: "test length M", value: 10, steps: GRID },
      { name: "kappa", label: "condition number \u03ba", value: 1, steps: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] },
      { name: "s2", label: "label noise in the test, s\u00b2", value: 0, min: 0, max: 4, step: 0.1 },
    ],
    values: (state) => {
      const bestN = bestLength(state);
      return { ...risk(state.N, state), bestN, least: totalAt(bestN, state) };
    },
    draw: (state, { total, bestN, least }, { chart, legend }) => {
      const picture = chart({
        x: { min: 1, max: 1000, log: true, ticks: [1, 10, 100, 1000], label: "training length N" },
        y: { min: 0.01, max: 10, log: true, ticks: [0.01, 0.1, 1, 10], label: "risk / d" },
      });
      const curve = (of) => lengths(1, 1000, 60).map((N) => [N, of(risk(N, state))]);
      picture.line([[1, 1], [1000, 1]], 5);
      picture.line(curve((parts) => parts.bias), 3);
      picture.line(curve((parts) => parts.variance + parts.noise), 4);
      picture.line(curve((parts) => parts.total), 1);
      picture.triangle(bestN, least, 1);
      picture.dot(state.N, total, 2);
      const names = { 1: "risk, the best N a triangle", 2: "your N", 3: "bias", 4: "variance", 5: "predicting zero" };
      return { pictures: [picture.root], legend: legend(names, { 2: "dot" }) };
    },
    say: ({ N, M, s2 }, { bias, variance, noise, total, bestN, least }) =>
      `Trained with N\u00a0=\u00a0${N} and tested with M\u00a0=\u00a0${M} the risk is ${number(total)} of that of predicting zero: ` +
      `bias ${number(bias)}, variance ${number(variance)}${s2 ? `, noise ${number(noise)}` : ""}. ` +
      `The best length is N\u00a0=\u00a0${bestN}${bestN === 1000 ? " or more" : ""}, with ${number(least)}.`,
  });
})();
