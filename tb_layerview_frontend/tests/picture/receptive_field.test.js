import { describe, expect, test } from "vitest";

import { describePatch, patchStyle, receptiveField } from "../../src/picture/receptive_field.js";

/** @typedef {import("../../src/data/types.js").Window} Window */
/** @typedef {Partial<import("../../src/data/types.js").Layer> & {size?: number[]}} Part */

/** @param {number} size @param {number[]} pads before and behind, the same along both axes @param {Partial<Window>} [more] @returns {Window} */
const slide = (size, [before, after] = [0, 0], more = {}) => ({
  size: [size, size],
  strides: [1, 1],
  dilation: [1, 1],
  padding_before: [before, before],
  padding_after: [after, after],
  transposed: false,
  padding_mode: "",
  ...more,
});

const IMAGE = { class_name: "Input", size: [10, 10] };

/**
 * A model of which each part reads the one before as it is, unless it says what it reads.
 * @param {...Part} parts `size`: rows and columns of what it gives
 */
function modelOf(...parts) {
  const layers = parts.map(({ size: _, ...part }, i) => ({
    path: `layer ${i}`,
    class_name: "Conv2D",
    inputs: i ? [i - 1] : [],
    direct: i > 0,
    ...part,
  }));
  const tensors = parts.map(({ size = [] }, layer) => ({
    layer,
    call: 0,
    kind: /** @type {const} */ ("activation"),
    name: "output",
    shape: [-1, ...size, 3],
    dtype: "float32",
    axes: size.length === 2 ? ["example", "row", "column", "channel"] : ["example", "unit"],
  }));
  return { layers, tensors };
}

/**
 * What is said of an element of the last layer.
 * @param {ReturnType<typeof modelOf>} model
 * @param {number} row
 * @param {number} column
 */
function seenBy(model, row, column) {
  const patch = receptiveField(model, model.tensors.length - 1, [0, row, column, 0]);
  return patch && describePatch(patch);
}

describe("an element sees", () => {
  test("a window of a 3 x 3 convolution, at the edge without its padding", () => {
    const valid = modelOf(IMAGE, { window: slide(3), size: [8, 8] });
    expect(seenBy(valid, 0, 7)).toBe("sees rows 0–2, columns 7–9 of the input");
    const same = modelOf(IMAGE, { window: slide(3, [1, 1]), size: [10, 10] });
    expect(seenBy(same, 0, 9)).toBe("sees rows 0–1, columns 8–9 of the input");
    expect(seenBy(same, 4, 5)).toBe("sees rows 3–5, columns 4–6 of the input");
  });

  test("what strides and padding behind the input alone leave", () => {
    const window = slide(3, [0, 1], { strides: [2, 2] });
    const once = modelOf(IMAGE, { window, size: [5, 5] });
    expect(seenBy(once, 0, 4)).toBe("sees rows 0–2, columns 8–9 of the input");
    // Rows 2 to 4 of the first, columns 0 to 2.
    const twice = modelOf(IMAGE, { window, size: [5, 5] }, { window: slide(3), size: [3, 3] });
    expect(seenBy(twice, 2, 0)).toBe("sees rows 4–9, columns 0–6 of the input");
  });

  test("through pooling and layers that keep places", () => {
    const model = modelOf(
      IMAGE,
      { window: slide(3), size: [8, 8] },
      { class_name: "BatchNormalization", size: [8, 8] },
      { class_name: "ReLU", in_place: true, size: [8, 8] },
      { class_name: "MaxPooling2D", window: slide(2, [0, 0], { strides: [2, 2] }), size: [4, 4] },
    );
    expect(seenBy(model, 1, 3)).toBe("sees rows 2–5, columns 6–9 of the input");
  });

  test("through a block of somebody's own that only adds", () => {
    const model = modelOf(
      IMAGE,
      { window: slide(3, [1, 1]), size: [10, 10] },
      { class_name: "Block", inputs: [0, 1], direct: false, in_place: true, size: [10, 10] },
      { window: slide(3), size: [8, 8] },
    );
    expect(seenBy(model, 3, 0)).toBe("sees rows 2–6, columns 0–3 of the input");
  });

  test("with a dilated window just those places that it reads", () => {
    const dilated = (/** @type {number[]} */ pads) => slide(3, pads, { dilation: [2, 2] });
    const valid = modelOf(IMAGE, { window: dilated([0, 0]), size: [6, 6] });
    expect(seenBy(valid, 0, 5)).toBe("sees rows 0–4, columns 5–9 of the input");
    // Row -1 is padding, row 0 is not read; behind the input, 8 is the last that is.
    const padded = modelOf(IMAGE, { window: dilated([1, 1]), size: [8, 8] });
    expect(seenBy(padded, 0, 7)).toBe("sees rows 1–3, columns 6–8 of the input");
    // Rows -1, 1, 3 and then all odd ones up to 5.
    const twice = modelOf(
      IMAGE,
      { window: dilated([2, 2]), size: [10, 10] },
      { window: dilated([2, 2]), size: [10, 10] },
    );
    expect(seenBy(twice, 1, 0)).toBe("sees rows 1–5, columns 0–4 of the input");
  });

  test("by a skip connection what either way sees", () => {
    const model = modelOf(
      IMAGE,
      { window: slide(1), size: [10, 10] },
      { window: slide(5, [2, 2]), size: [10, 10] },
      { class_name: "Add", in_place: true, inputs: [1, 2], size: [10, 10] },
    );
    expect(seenBy(model, 6, 0)).toBe("sees rows 4–8, columns 0–2 of the input");
    // Two that look elsewhere: cropped before, and cropped behind.
    const apart = modelOf(
      IMAGE,
      { class_name: "Cropping2D", window: slide(1, [-4, 0]), size: [6, 6] },
      { class_name: "Cropping2D", window: slide(1, [0, -4]), inputs: [0], size: [6, 6] },
      { class_name: "Concatenate", inputs: [1, 2], size: [6, 6] },
    );
    expect(seenBy(apart, 1, 2)).toBe("sees rows 1–5, columns 2–6 of the input");
  });

  test("what a transposed window is read for", () => {
    // Output o is made of the inputs j with o = 2j + k, k from 0 to 2.
    const window = slide(3, [0, 1], { strides: [2, 2], transposed: true });
    const model = modelOf(IMAGE, { window, size: [20, 20] });
    expect(seenBy(model, 0, 3)).toBe("sees row 0, column 1 of the input");
    expect(seenBy(model, 4, 19)).toBe("sees rows 1–2, column 9 of the input");
    const repeated = modelOf(IMAGE, {
      class_name: "UpSampling2D",
      window: slide(2, [0, 0], { strides: [2, 2], transposed: true }),
      size: [20, 20],
    });
    expect(seenBy(repeated, 5, 6)).toBe("sees row 2, column 3 of the input");
  });

  test("all of the input, where it reads all of it", () => {
    const model = modelOf(IMAGE, { window: slide(10), size: [1, 1] });
    expect(seenBy(model, 0, 0)).toBe("sees all of the input");
    // Every second place is not all, though it is from the first to the last one.
    const holes = modelOf(
      { ...IMAGE, size: [9, 9] },
      {
        window: slide(5, [0, 0], { dilation: [2, 2] }),
        size: [1, 1],
      },
    );
    expect(seenBy(holes, 0, 0)).toBe("sees rows 0–8, columns 0–8 of the input");
  });

  test("other rows than columns", () => {
    const window = { ...slide(1), size: [3, 1], strides: [1, 2] };
    const model = modelOf({ ...IMAGE, size: [6, 8] }, { window, size: [4, 4] });
    expect(seenBy(model, 3, 3)).toBe("sees rows 3–5, column 6 of the input");
  });
});

describe("nothing is said", () => {
  const conv = { window: slide(3), size: [8, 8] };
  const unknown = {
    "of a layer that may look anywhere": modelOf(IMAGE, conv, {
      class_name: "Softmax",
      size: [8, 8],
    }),
    "of one that normalizes over axes that are not told": modelOf(IMAGE, conv, {
      class_name: "LayerNormalization",
      size: [8, 8],
    }),
    "of one that is called almost as one that keeps places": modelOf(IMAGE, {
      class_name: "ConvBNReLU",
      size: [10, 10],
    }),
    "behind what has no rows": modelOf(
      IMAGE,
      conv,
      { class_name: "Flatten" },
      { class_name: "Reshape", size: [8, 8] },
    ),
    "where the padding is not known": modelOf(IMAGE, {
      window: { ...slide(3), padding_before: [], padding_after: [] },
      size: [8, 8],
    }),
    "of a window over one axis": modelOf(IMAGE, {
      window: { ...slide(3), size: [3], padding_before: [0], padding_after: [0] },
      size: [10, 8],
    }),
    "where something that is not logged makes it smaller": modelOf(IMAGE, {
      window: slide(3),
      size: [4, 4],
    }),
    "where places are not kept": modelOf(IMAGE, conv, {
      class_name: "Add",
      in_place: true,
      inputs: [0, 1],
      size: [8, 8],
    }),
    "of sizes that differ": modelOf(
      { ...IMAGE, size: [-1, 10] },
      { window: slide(1), size: [-1, 10] },
    ),
    "of two inputs": modelOf(IMAGE, IMAGE, { in_place: true, inputs: [0, 1], size: [10, 10] }),
    "where more than element-wise operations may lie between": modelOf(
      IMAGE,
      { ...conv, direct: false },
      { window: slide(1), size: [8, 8] },
    ),
    "where they may lie before a layer that keeps places": modelOf(IMAGE, conv, {
      class_name: "BatchNormalization",
      direct: false,
      size: [8, 8],
    }),
    "of an activation that may be any function": modelOf(IMAGE, conv, {
      class_name: "Activation",
      size: [8, 8],
    }),
    "of an older log": modelOf(IMAGE, { ...conv, direct: undefined }),
    "of what comes from nowhere": modelOf({ class_name: "Conv2D", size: [10, 10] }, conv),
    "of a circle": modelOf(IMAGE, { window: slide(3), inputs: [1], size: [8, 8] }),
    "of the input itself": modelOf(IMAGE),
    "where it would take long": modelOf(
      { ...IMAGE, size: [1, 1] },
      { window: slide(2 ** 31 - 1, [2 ** 31 - 2, 0]), size: [1, 1] },
    ),
  };
  test.each(Object.entries(unknown))("%s", (_, model) => {
    expect(seenBy(model, 0, 0)).toBeNull();
  });

  test("of an element that reads padding alone", () => {
    const model = modelOf(IMAGE, {
      class_name: "ZeroPadding2D",
      window: slide(1, [2, 2]),
      size: [14, 14],
    });
    expect(seenBy(model, 1, 5)).toBeNull();
    expect(seenBy(model, 2, 5)).toBe("sees row 0, column 3 of the input");
  });

  test("where padding is values of the input itself, but away from the edge it is", () => {
    const window = slide(3, [1, 1], { padding_mode: "circular" });
    const model = modelOf(IMAGE, { window, size: [10, 10] });
    expect(seenBy(model, 0, 5)).toBeNull();
    expect(seenBy(model, 1, 5)).toBe("sees rows 0–2, columns 4–6 of the input");
  });

  test("of a layer that is called several times", () => {
    const model = modelOf(IMAGE, { window: slide(3, [1, 1]), size: [10, 10] });
    model.tensors.push({ ...model.tensors[1], call: 1 });
    expect(receptiveField(model, 1, [0, 4, 4, 0])).toBeNull();
    expect(receptiveField(model, 2, [0, 4, 4, 0])).toBeNull();
  });

  test("of a gradient or a weight", () => {
    const model = modelOf(IMAGE, { window: slide(3), size: [8, 8] });
    const gradient = { ...model.tensors[1], kind: /** @type {const} */ ("gradient") };
    const tensors = [...model.tensors, gradient];
    expect(receptiveField({ ...model, tensors }, 2, [0, 4, 4, 0])).toBeNull();
    expect(receptiveField({ ...model, tensors }, 1, [0, 4, 4, 0])).not.toBeNull();
  });
});

test("a patch lies where its rows and columns are among those that are kept", () => {
  const patch = { layer: 0, rows: [2, 3, 4], columns: [0, 1, 2, 3, 4], whole: false };
  const axis = (/** @type {number} */ step, /** @type {number} */ count) => ({
    start: 0,
    step,
    count,
  });
  expect(patchStyle(patch, [axis(1, 3), axis(1, 10), axis(1, 5)])).toEqual({
    top: "20%",
    height: "30%",
    left: "0%",
    width: "100%",
  });
  // Of 8 rows every second one, of 8 columns the first four.
  expect(patchStyle(patch, [axis(1, 3), axis(2, 4), axis(1, 4)])).toEqual({
    top: "25%",
    height: "37.5%",
    left: "0%",
    width: "100%",
  });
});
