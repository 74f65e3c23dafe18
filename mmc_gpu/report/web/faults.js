"use strict";

// What was faulty: the codes of errors, how often, what they mean, and a list to unfold.

const paragraph = (words) => element("p", {}, words);

function wideTable(headings, rows) {
  const made = element("table");
  fillTable(made, headings, rows);
  return element("div", { className: "wide" }, made);
}

// codes: [code, times, meaning, remedy]; [one, many]: of what
function faultParts(codes, [one, many], heading, headings, listed) {
  const list = element("dl", { className: "pairs" });
  const described = codes.map(([code, times, meaning, remedy]) => [
    code,
    several(times, one, many),
    `${meaning} Remedy: ${remedy}.`,
  ]);
  facts(list, described);
  return [
    list,
    element("details", {}, element("summary", {}, heading), wideTable(headings, listed)),
  ];
}
