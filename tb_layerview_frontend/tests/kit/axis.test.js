import { describe, expect, test } from "vitest";

import {
  columnSteps,
  cursorAt,
  holeAt,
  holesIn,
  indexAt,
  isBeforeHole,
  makeStepAxis,
  nearestIndex,
  stepTicks,
  stretches,
  usualSpacing,
} from "../../src/kit/axis.js";

describe("a step axis", () => {
  test("gives each step the stretch to half way to its neighbours, and ends half a step beyond the run", () => {
    const { starts, ends, positions } = makeStepAxis([0, 10, 40], "linear");
    // From -0.5 to 40.5: 41 steps in all.
    expect([...starts]).toEqual([0, 5.5 / 41, 25.5 / 41]);
    expect([...ends]).toEqual([5.5 / 41, 25.5 / 41, 1]);
    expect([...positions]).toEqual([0.5 / 41, 10.5 / 41, 40.5 / 41]);
  });

  test("gives each logged step the same width when it is even", () => {
    const { starts, ends } = makeStepAxis([0, 10, 1000, 1001], "even");
    expect([...starts]).toEqual([0, 0.25, 0.5, 0.75]);
    expect([...ends]).toEqual([0.25, 0.5, 0.75, 1]);
  });

  test("puts powers of two at the same distance when it is logarithmic", () => {
    const { positions } = makeStepAxis([0, 1, 3, 7], "log");
    expect(positions[2] - positions[1]).toBeCloseTo(positions[1] - positions[0]);
    expect(positions[3] - positions[2]).toBeCloseTo(positions[1] - positions[0]);
  });

  test("exists for one step and for none", () => {
    const { starts, ends } = makeStepAxis([7], "linear");
    expect([starts[0], ends[0]]).toEqual([0, 1]);
    expect([...makeStepAxis([], "linear").positions]).toEqual([]);
  });

  test("finds the step that owns a position", () => {
    const axis = makeStepAxis([0, 10, 40], "linear");
    expect([-1, 0, 0.13, 0.14, 0.62, 0.63, 1, 2].map((at) => indexAt(axis, at))).toEqual([
      0, 0, 0, 1, 1, 2, 2, 2,
    ]);
  });
});

test("the nearest step is found, the earlier of two that are equally near", () => {
  const steps = [0, 10, 20, 100];
  expect([-5, 4, 5, 6, 15, 61, 1000].map((step) => nearestIndex(steps, step))).toEqual([
    0, 0, 0, 1, 1, 3, 3,
  ]);
  expect(nearestIndex([], 3)).toBe(-1);
});

describe("pixel columns", () => {
  test("show every step, however many there are to a pixel", () => {
    const steps = Array.from({ length: 10_000 }, (_, i) => (i < 127 ? i : i * 3));
    const { first, last } = columnSteps(makeStepAxis(steps, "linear"), 461);
    const seen = new Set();
    for (let column = 0; column < 461; column++) {
      for (let i = first[column]; i <= last[column]; i++) seen.add(i);
    }
    expect(seen.size).toBe(10_000);
  });

  test("repeat a step that is wider than a pixel", () => {
    const { first, last } = columnSteps(makeStepAxis([0, 1], "linear"), 4);
    expect([...first]).toEqual([0, 0, 1, 1]);
    expect([...last]).toEqual([0, 0, 1, 1]);
  });

  test("show nothing where there is no step", () => {
    expect([...columnSteps(makeStepAxis([], "linear"), 2).last]).toEqual([-1, -1]);
  });
});

describe("ticks", () => {
  test("are round, and lie where their steps lie", () => {
    const axis = makeStepAxis([0, 50, 100], "linear");
    const ticks = stepTicks(axis, 6);
    expect(ticks.map(({ step }) => step)).toEqual([0, 20, 40, 60, 80, 100]);
    expect(ticks[0].position).toBeCloseTo(axis.positions[0]);
    expect(ticks[5].position).toBeCloseTo(axis.positions[2]);
  });

  test("are never more than fit", () => {
    const steps = Array.from({ length: 613 }, (_, i) => i);
    for (const most of [1, 2, 3, 5, 7]) {
      expect(stepTicks(makeStepAxis(steps, "linear"), most).length).toBeLessThanOrEqual(most + 1);
      expect(stepTicks(makeStepAxis(steps, "even"), most).length).toBeLessThanOrEqual(most);
    }
  });

  test("of a logarithmic axis are powers of ten", () => {
    const ticks = stepTicks(makeStepAxis([0, 1, 10, 100, 999], "log"), 6);
    expect(ticks.map(({ step }) => step)).toEqual([0, 1, 10, 100]);
  });
});

test("a step that is not logged lies between its neighbours, and never beyond the ends", () => {
  for (const spacing of /** @type {const} */ (["linear", "even"])) {
    const axis = makeStepAxis([0, 10, 40], spacing);
    const [first, second, last] = axis.positions;
    expect(axis.positionOf(10)).toBe(second);
    expect(axis.positionOf(25)).toBeCloseTo((second + last) / 2);
    expect(axis.positionOf(-5)).toBe(first);
    expect(axis.positionOf(99)).toBe(last);
  }
  expect(makeStepAxis([], "linear").positionOf(3)).toBe(0);
});

/** @param {number} from @param {number} to @param {number} [by] */
const range = (from, to, by = 1) =>
  Array.from({ length: Math.ceil((to - from) / by) }, (_, i) => from + i * by);

/**
 * The steps of a ladder: all of them up to twice `perOctave`, then so many an octave, and the last one.
 * @param {number} count @param {number} perOctave
 */
const ladder = (count, perOctave) =>
  range(0, count).filter((step) => {
    const octave = Math.floor(Math.log2(Math.max(1, step)));
    const every = Math.max(1, 2 ** octave / perOctave);
    return step % every === 0 || step === count - 1;
  });

const SHORT = [...range(0, 32), 285];

describe("steps that were not logged", () => {
  test("are a hole between two logged ones, where these lie much further apart than is usual there", () => {
    expect(holesIn(SHORT)).toEqual([{ before: 31, after: 285, usual: 1 }]);
    expect(holesIn([...range(0, 32), 158, 285])).toEqual([
      { before: 31, after: 158, usual: 1 },
      { before: 158, after: 285, usual: 1 },
    ]);
    expect(holesIn([...range(0, 100), ...range(500, 600)])).toEqual([
      { before: 99, after: 500, usual: 1 },
    ]);
  });

  test.for([
    [100, 8],
    [286, 8],
    [1000, 8],
    [1000, 64],
    [10_000, 64],
    [100_000, 8],
  ])("are none of a ladder of %i steps, %i an octave", ([count, perOctave]) => {
    expect(holesIn(ladder(count, perOctave))).toEqual([]);
    expect(usualSpacing(ladder(count, perOctave))).toBe("linear");
  });

  test("are none where a ladder grows eight times sparser and stays so", () => {
    expect(holesIn([...range(0, 128), ...range(128, 256, 16), ...range(256, 512, 32)])).toEqual([]);
  });

  test("are none where there is nothing that is usual", () => {
    for (const steps of [[], [7], [0, 285], range(0, 1000, 50)]) expect(holesIn(steps)).toEqual([]);
  });

  test("belong to no step, and to no column", () => {
    const axis = makeStepAxis(SHORT, "linear");
    const on = (/** @type {number} */ step) => (step + 0.5) / 286;
    expect(axis.holes).toHaveLength(1);
    expect(axis.holes[0].from).toBeCloseTo(on(31.5));
    expect(axis.holes[0].to).toBeCloseTo(on(284.5));
    const { first, last } = columnSteps(axis, 286);
    const drawn = range(0, 286).filter((column) => last[column] >= first[column]);
    expect(drawn).toEqual(SHORT);
    expect(holeAt(axis, on(31), 0)).toBeNull();
    expect(holeAt(axis, on(100), 0)?.after).toBe(285);
    expect(isBeforeHole(axis).indexOf(true)).toBe(31);
    // A click goes to the nearer one.
    expect([100, 200, 285].map((step) => SHORT[indexAt(axis, on(step))])).toEqual([31, 285, 285]);
  });

  test("keep the step after them on the screen, however thin it is", () => {
    const { first, last } = columnSteps(makeStepAxis([...range(0, 32), 100_000], "linear"), 500);
    expect([first[499], last[499]]).toEqual([32, 32]);
    expect(last[498]).toBeLessThan(first[498]);
  });

  test("have no width where steps lie evenly, and are found near the line", () => {
    const axis = makeStepAxis(SHORT, "even");
    const [{ from, to }] = axis.holes;
    expect([from, to]).toEqual([32 / 33, 32 / 33]);
    expect(holeAt(axis, from + 0.001, 0.002)?.before).toBe(31);
    expect(holeAt(axis, from + 0.003, 0.002)).toBeNull();
  });

  test("are where they are on a logarithmic axis, too", () => {
    const axis = makeStepAxis(SHORT, "log");
    expect(axis.holes[0].from).toBeCloseTo((axis.positions[31] + axis.positionOf(32)) / 2, 2);
    expect(axis.holes[0].to).toBeGreaterThan(axis.positionOf(284));
  });

  test("part what holds before them from what holds after them", () => {
    expect(stretches(makeStepAxis(SHORT, "linear"), (i) => i > 29)).toHaveLength(2);
    expect(stretches(makeStepAxis(range(0, 9), "linear"), (i) => i > 3)).toHaveLength(1);
  });

  test("take the axis where that would be more than half of it", () => {
    expect(usualSpacing(SHORT)).toBe("even");
    expect(usualSpacing([...range(0, 200), ...range(250, 300)])).toBe("linear");
  });
});

describe("some of a run's steps", () => {
  const run = range(0, 100);

  test("lie where they lie on the run's axis", () => {
    for (const spacing of /** @type {const} */ (["linear", "log", "even"])) {
      const all = makeStepAxis(run, spacing);
      const some = makeStepAxis(range(10, 90, 8), spacing, run);
      expect(some.positions[3]).toBeCloseTo(all.positions[34]);
      expect(cursorAt(some, 37, 500)).toBeCloseTo(cursorAt(all, 37, 500));
      expect(some.starts[0]).toBeGreaterThan(all.positions[4]);
      expect(some.ends[9]).toBeLessThan(all.positions[87]);
    }
  });

  test("have the run's holes where they are told so", () => {
    const steps = [0, 8, 16, 24, 285];
    const { holes, ends, starts } = makeStepAxis(steps, "linear", SHORT, holesIn(SHORT));
    expect(holes.map(({ hole }) => hole.before)).toEqual([31]);
    expect([ends[3], starts[4]]).toEqual([holes[0].from, holes[0].to]);
  });
});

test("the line of the selected step is never cut at an end", () => {
  const axis = makeStepAxis(range(0, 1000), "linear");
  expect([0, 500, 999, undefined].map((step) => cursorAt(axis, step, 200))).toEqual([
    0.75, 100.1, 199.25, 0.75,
  ]);
});
