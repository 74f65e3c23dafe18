"use strict";

// Data quality: who was left out, filled, or ranks the stocks as somebody else does.

function showQuality({ users, columns, summary, groups, quality }) {
  byId("quality").replaceChildren(
    ...quarantineParts(quality, summary.quarantined),
    ...filledParts(users, columns.filled.values),
    ...groupParts(users, columns.mmc, groups),
    ...quality.notes.map((note) => paragraph(`Note: ${note}.`)),
  );
}

function quarantineParts({ codes, quarantined }, count) {
  if (!count) return [paragraph("Nobody was quarantined.")];
  const who =
    quarantined.length < count
      ? `Who, and why: the first ${counted(quarantined.length)}; quarantine.csv has all`
      : "Who, and why";
  const headings = [
    ["User", "text"],
    ["Fault", "text long"],
  ];
  return [
    paragraph(
      `${several(count, "user was", "users were")} quarantined: no score, and no part in anybody else’s.`,
    ),
    ...faultParts(codes, ["user", "users"], who, headings, quarantined),
  ];
}

function filledParts(users, filled) {
  const rows = Array.from(users.keys()).filter((row) => filled[row]);
  if (!rows.length) return [paragraph("No prediction was missing and filled.")];
  rows.sort((a, b) => filled[b] - filled[a]);
  const most = rows.slice(0, 10).map((row) => [users[row], counted(filled[row])]);
  return [
    paragraph(
      `${several(rows.length, "user", "users")} had missing predictions filled with their lower median.`,
    ),
    wideTable([["User", "text"], ["Filled"]], most),
  ];
}

function groupParts(users, mmc, groups) {
  if (!groups.length) return [paragraph("No two users have identical scores.")];
  const alike = groups.reduce((sum, group) => sum + group.length, 0);
  const largest = [...groups].sort((a, b) => b.length - a.length).slice(0, 10);
  const names = (group) =>
    listed(
      group.map((row) => users[row]),
      12,
    );
  const more = groups.length > 10 ? " The 10 largest groups:" : "";
  return [
    paragraph(
      `${several(groups.length, "group", "groups")} of users have identical scores, ` +
        `${counted(alike)} users in all: their submissions rank the stocks alike.${more}`,
    ),
    wideTable(
      [["Users"], ["MMC"], ["Who", "text long"]],
      largest.map((group) => [
        counted(group.length),
        signed(mmc.values[group[0]], mmc.decimals),
        names(group),
      ]),
    ),
  ];
}
