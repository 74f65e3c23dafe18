"use strict";

// Who the meta model is made of: all stake, and that of each draw.

function showMetaModel({ summary, view, meta_model: made }) {
  const largest = made.stakers[0];
  const drawn = made.effective_drawn;
  byId("made").textContent =
    `${counted(summary.stakers)} stakers weigh as much as ${shown(made.effective, 1)} equal ones would; ` +
    `in single draws, as ${shown(Math.min(...drawn), 1)} to ${shown(Math.max(...drawn), 1)}. The largest, ${largest.user}, holds ` +
    `${percent(largest.share)} of the stake and was in ${counted(largest.draws)} of ${several(summary.draws, "draw", "draws")}.`;
  showShares(made, view.corr_drawn);
  fillTable(
    byId("stakers"),
    [["User", "text"], ["NMR"], ["Stake"], ["Picked", "roomy"], ["In draws", "roomy"], ["At most"]],
    made.stakers.map(({ user, stake, share, times, draws, shares }) => [
      user,
      shown(stake, 2),
      percent(share),
      `${counted(times)}×`,
      counted(draws),
      percent(Math.max(...shares)),
    ]),
  );
  showConcentration(made.concentration);
  showTimes(made.times);
  byId("never").textContent =
    `A draw leaves out ${percent(made.left_out, 0)} of the stakers; ` +
    (made.never
      ? `${several(made.never, "staker was", "stakers were")} in none.`
      : "everybody was in some.");
}

// one column a draw: the shares of the largest stakers; below it the draw's CORR
function showShares(made, corrs) {
  const named = made.stakers.slice(0, made.named);
  const draws = corrs.length;
  const total = (draw) => named.reduce((sum, staker) => sum + staker.shares[draw], 0);
  byId("legend").replaceChildren(
    ...named.map(({ user }, at) => element("li", { className: `share-${at}` }, user)),
  );
  const fives = Array.from({ length: Math.floor(draws / 5) }, (_, at) => 5 * (at + 1));
  const xAxis = {
    label: "draw",
    low: 0.4,
    high: draws + 0.6,
    ticks: draws > 10 ? [1, ...fives] : corrs.map((_, at) => at + 1),
    format: counted,
    lines: "none",
  };
  const shareAxis = {
    ...axis(
      corrs.map((_, draw) => total(draw)),
      { label: "share of the stake", zero: true, count: 5, room: 0 },
    ),
    format: (tick) => `${+(100 * tick).toPrecision(3)} %`,
  };
  const corrAxis = axis(
    corrs.filter((corr) => corr !== null),
    { label: "CORR", zero: true, count: 3 },
  );
  figure("shares", (width) => {
    const upper = frame(width, 236, { ...xAxis, ticks: [], label: "" }, shareAxis, {
      left: 56,
      bottom: 8,
    });
    const lower = frame(width, 150, xAxis, corrAxis, { left: 56 });
    const wide = Math.max(1, Math.min(26, (upper.x(2) - upper.x(1)) * 0.8));
    const barOf = (chart, name, draw, from, to, text) =>
      bar(chart, name, chart.x(draw + 1) - wide / 2, wide, to, from).append(
        svg("title", {}, `Draw ${draw + 1}: ${text}`),
      );
    corrs.forEach((corr, draw) => {
      let below = 0;
      named.forEach(({ user, shares }, at) => {
        barOf(
          upper,
          `share-${at}`,
          draw,
          below,
          below + shares[draw],
          `${user} ${percent(shares[draw])}`,
        );
        below += shares[draw];
      });
      if (corr !== null) barOf(lower, "bar", draw, 0, corr, `CORR ${signed(corr, 4)}`);
    });
    lower.picture.setAttribute("aria-label", "CORR of each draw’s meta model with the target");
    return element("div", {}, upper.picture, lower.picture);
  });
}

function showConcentration(points) {
  const logs = points.map(([stakers]) => Math.log10(stakers));
  const high = Math.max(0.3, logs.at(-1));
  const ticks = [...decades(0, high)];
  const xAxis = {
    label: "largest stakers",
    low: 0,
    high: high * 1.02,
    ticks,
    format: decadeText,
    lines: "grid",
  };
  const yAxis = {
    low: 0,
    high: 1,
    ticks: [0, 0.25, 0.5, 0.75, 1],
    format: (tick) => percent(tick, 0),
    label: "of all stake",
    lines: "grid",
  };
  figure("concentration", (width) => {
    const chart = frame(width, 240, xAxis, yAxis);
    const at = ([, share], index) => `${chart.x(logs[index])} ${chart.y(share)}`;
    chart.picture.append(svg("path", { class: "curve", d: `M${points.map(at).join("L")}` }));
    return chart.picture;
  });
}

function showTimes({ first, width: step, stakers }) {
  const ends = [first, first + stakers.length * step - 1];
  const xAxis = axis(ends, { label: "times picked", lines: "none" });
  xAxis.ticks = xAxis.ticks.filter(Number.isInteger);
  xAxis.format = counted;
  [xAxis.low, xAxis.high] = [first - 0.7 * step, first + (stakers.length - 0.3) * step];
  const yAxis = axis(stakers, { label: "stakers", count: 4, zero: true, room: 0, lines: "grid" });
  figure("times", (width) => {
    const chart = frame(width, 240, xAxis, yAxis);
    const wide = Math.min(40, (chart.x(step) - chart.x(0)) * 0.85);
    stakers.forEach((count, at) => {
      const times =
        step === 1 ? first + at : `${first + at * step} to ${first + (at + 1) * step - 1}`;
      bar(chart, "bar", chart.x(first + at * step) - wide / 2, wide, count).append(
        svg("title", {}, `picked ${times} times: ${several(count, "staker", "stakers")}`),
      );
    });
    return chart.picture;
  });
}
