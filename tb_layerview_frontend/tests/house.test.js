/** The house: which room may import which, and how long a function may be. */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { parseSync } from "vite";

const SOURCES = fileURLToPath(new URL("../src", import.meta.url));
const FILES = readdirSync(SOURCES, { recursive: true, encoding: "utf8" }).filter((name) =>
  /\.(jsx?|css)$/.test(name),
);

/** @type {Record<string, string[]>} by room, those that it may import besides itself */
const MAY_IMPORT = {
  "index.jsx": ["page", "kit"],
  data: [],
  kit: ["data"],
  distribution: ["kit", "data"],
  picture: ["distribution", "kit", "data"],
  units: ["picture", "distribution", "kit", "data"],
  findings: ["kit", "data"],
  map: ["findings", "kit", "data"],
  compare: ["map", "picture", "distribution", "kit", "data"],
  ranks: ["map", "findings", "kit", "data"],
  network: ["map", "findings", "kit", "data"],
  page: [
    "network",
    "ranks",
    "compare",
    "map",
    "findings",
    "units",
    "picture",
    "distribution",
    "kit",
    "data",
  ],
};

/** @param {string} file from `src` on */
const roomOf = (file) => file.split(/[\\/]/)[0];
/** @param {string} file */
const textOf = (file) => readFileSync(resolve(SOURCES, file), "utf8");

test("every room imports only what it may, types and style sheets too", () => {
  const wrong = FILES.flatMap((file) =>
    // `import … from "…"`, `import "…"`, `import("…")` of a type, `@import "…"` of a style sheet
    [...textOf(file).matchAll(/(?:\bfrom |\bimport |\bimport\()"(\.[^"]+)"/g)].flatMap(
      ([, path]) => {
        const to = roomOf(relative(SOURCES, resolve(SOURCES, dirname(file), path)));
        const room = roomOf(file);
        return to === room || MAY_IMPORT[room]?.includes(to) ? [] : [`${file} imports ${path}`];
      },
    ),
  );
  expect(wrong).toEqual([]);
});

const MOST_LINES = 110;

/**
 * The functions in a piece of a syntax tree that are too long.
 * @param {any} node
 * @param {(offset: number) => number} lineOf
 * @returns {string[]}
 */
function longIn(node, lineOf) {
  if (!node || typeof node !== "object") return [];
  const lines = /Function/.test(node.type) ? lineOf(node.end) - lineOf(node.start) + 1 : 0;
  const own = lines > MOST_LINES ? [`line ${lineOf(node.start)}: ${lines} lines`] : [];
  return [...own, ...Object.values(node).flatMap((part) => longIn(part, lineOf))];
}

test(`no function has more than ${MOST_LINES} lines`, () => {
  const long = FILES.filter((file) => !file.endsWith(".css")).flatMap((file) => {
    const text = textOf(file);
    const { program, errors } = parseSync(file, text);
    expect(errors).toEqual([]);
    const lineOf = (/** @type {number} */ offset) => text.slice(0, offset).split("\n").length;
    return longIn(program, lineOf).map((what) => `${file}, ${what}`);
  });
  expect(long).toEqual([]);
});
