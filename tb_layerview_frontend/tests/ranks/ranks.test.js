import { expect, test } from "vitest";

import { named } from "../../src/ranks/RanksHead.jsx";
import {
  departureInWords,
  departures,
  furthestRank,
  groupRuns,
  isApart,
  rankOf,
  ranksBeside,
} from "../../src/ranks/ranks.js";

/** @param {string[]} names */
const runs = (...names) => names.map((run) => ({ run }));

test("a run is a rank by the last part of its name", () => {
  expect(rankOf("run1/rank-0")).toEqual({ training: "run1", rank: 0 });
  expect(rankOf("a/b/rank-12")).toEqual({ training: "a/b", rank: 12 });
  expect(rankOf("rank-3")).toEqual({ training: ".", rank: 3 });
  for (const name of ["run1", "rank-01", "rank-x", "rank-", "run1/rank-2/replay", "a-rank-1"]) {
    expect(rankOf(name)).toBeNull();
  }
});

test("ranks of one training stand in the order of their numbers, and nobody else's beside them", () => {
  const all = runs("a/rank-10", "a/rank-2", "b/rank-0", "a", "a/rank-0/replay", "rank-1");
  expect(ranksBeside(all, "a/rank-2").map(({ run }) => run)).toEqual(["a/rank-2", "a/rank-10"]);
  expect(ranksBeside(all, "rank-1").map(({ rank }) => rank)).toEqual([1]);
  expect(ranksBeside(all, "a")).toEqual([]);
});

test("the picker has the ranks of several together, and a single one by itself", () => {
  const groups = groupRuns(runs("a", "a/rank-0", "b/rank-0", "a/rank-10", "a/rank-2"));
  expect(groups.map(({ training, runs: of }) => [training, of.map(({ run }) => run)])).toEqual([
    [null, ["a"]],
    ["a", ["a/rank-0", "a/rank-2", "a/rank-10"]],
    [null, ["b/rank-0"]],
  ]);
});

test("a size is held against the median rank's by the logarithm of their ratio", () => {
  expect([...departures("size", [2, 2, 32])]).toEqual([0, 0, 4]);
  expect([...departures("size", [1, 2, 4, 8])]).toEqual([-1.5, -0.5, 0.5, 1.5]);
  expect([...departures("size", [0, 0, 0])]).toEqual([0, 0, 0]);
  expect([...departures("size", [0, 4, 4])]).toEqual([-Infinity, 0, 0]);
  expect([...departures("size", [0, 0, 4])]).toEqual([0, 0, Infinity]);
  expect([...departures("size", [4, NaN, 4])]).toEqual([0, NaN, 0]);
});

test("of two ranks each is held against the other one", () => {
  expect([...departures("size", [1, 16])]).toEqual([-4, 4]);
  expect([...departures("signed", [1, -2])]).toEqual([3, -3]);
  expect([...departures("size", [1, NaN])]).toEqual([NaN, NaN]);
});

test("what has a sign or is a share is held against the median rank's by the difference", () => {
  expect([...departures("signed", [-1, 0, 5])]).toEqual([-1, 0, 5]);
  expect([...departures("share", [0.5, 0.5, 0.75])]).toEqual([0, 0, 0.25]);
});

/** @param {number[]} departure @param {number[]} [nonFinite] */
const of = (departure, nonFinite = departure.map(() => 0)) => ({
  departure: Float32Array.from(departure),
  nonFinite: Float32Array.from(nonFinite),
});

test("the furthest rank is named where it begins, not where it has grown most", () => {
  const found = furthestRank(
    [7, 8, 9],
    new Map([
      [7, of([0, 0, 0.1])],
      [8, of([0, 0, 3])],
      [9, of([0, 0, 4])],
    ]),
  );
  expect(found).toEqual({ place: 2, tensor: 8, departure: 3 });
});

test("of two the one above is named", () => {
  expect(furthestRank([0], new Map([[0, of([-4, 4])]]))?.place).toBe(1);
  expect(furthestRank([0], new Map([[0, of([4, -4])]]))?.place).toBe(0);
});

test("a rank that alone holds NaN comes before all that are far, and one of several does not", () => {
  const alone = new Map([
    [0, of([0, 9, 0])],
    [1, of([0, 0, NaN], [0, 0, 0.5])],
  ]);
  expect(furthestRank([0, 1], alone)).toEqual({ place: 2, tensor: 1, departure: NaN });
  const all = new Map([[0, of([0, 9, 0], [0.5, 0.5, 0.5])]]);
  expect(furthestRank([0], all)?.place).toBe(1);
});

test("where nothing is known nobody is named", () => {
  expect(furthestRank([], new Map())).toBeNull();
  expect(furthestRank([0], new Map([[0, of([NaN, NaN])]]))).toBeNull();
});

test("a departure in words says against whom", () => {
  expect(departureInWords("size", 4, 3)).toBe("16 times the median rank’s");
  expect(departureInWords("size", -1, 2)).toBe("0.5 times the other rank’s");
  expect(departureInWords("size", 0, 3)).toBe("as the median rank’s");
  expect(departureInWords("size", Infinity, 3)).toBe("where the median rank’s is 0");
  expect(departureInWords("share", -0.25, 3)).toBe("25 % below the median rank’s");
  expect(departureInWords("signed", 2, 2)).toBe("2 above the other rank’s");
  expect(departureInWords("size", NaN, 2)).toBe("nothing to compare");
});

test("a factor of 1.19 is apart, and rounding is not", () => {
  expect(isApart("size", Math.log2(1.2))).toBe(true);
  expect(isApart("size", Math.log2(1.1))).toBe(false);
  expect(isApart("size", -Infinity)).toBe(true);
});

test("of many ranks' numbers those that matter are written, and none beside them that would touch", () => {
  const places = (/** @type {boolean[]} */ of) => of.flatMap((is, place) => (is ? [place] : []));
  const none = Array.from({ length: 12 }, () => false);
  expect(places(named(none, 0, 1000))).toEqual([...none.keys()]);
  // Room for six: every other one.
  expect(places(named(none, 5, 132))).toEqual([0, 2, 5, 8, 10]);
  const found = none.map((_, place) => place === 7);
  expect(places(named(found, 0, 132))).toEqual([0, 2, 4, 7, 10]);
});
