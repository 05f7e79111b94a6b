import { fileURLToPath } from "node:url";

import { minify } from "terser";
import { defineConfig } from "vitest/config";

/**
 * The d3 modules come as one file each, which makes things when it is loaded: colour schemes, rulers, interpolators. Calls of
 * these change nothing besides, so what nobody asks for is left out.
 */
const PURE = [
  ...["colors", "ramp", "ramp$1", "interpolateCubehelixLong", "cubehelix"], // d3-scale-chromatic
  ...["rgbSpline", "interpolateTransform", "hsl", "hcl"], // d3-interpolate
  ...["bisector", "Blur2", "shuffler", "dsv"], // d3-array, d3-dsv
];

/** A scheme is made by methods of an array, and these cannot be named as pure. @type {import("vite").Plugin} */
const pureSchemes = {
  name: "pure-schemes",
  transform(code, id) {
    if (!id.includes("d3-scale-chromatic")) return undefined;
    const scheme = /= (new Array\(3\)\.concat\([^()]*\)\.map\(colors\))/g;
    return code.replace(scheme, "= /* @__PURE__ */ (() => $1)()");
  },
};

/** Takes 2 KB of 177, gzipped, off what Vite's own minifier makes; instead of it it takes 1. @type {import("vite").Plugin} */
const smaller = {
  name: "smaller",
  async generateBundle(_, bundle) {
    for (const chunk of Object.values(bundle)) {
      if (chunk.type !== "chunk") continue;
      // Unsafe for functions that are called with `new` and do not speak of `this`; there are none.
      const compress = { passes: 4, unsafe_arrows: true, sequences: false, inline: 1 };
      const made = await minify(chunk.code, { module: true, ecma: 2022, compress });
      chunk.code = made.code ?? chunk.code;
    }
  },
};

export default defineConfig({
  plugins: [pureSchemes, smaller],
  // Files are found beside the module, wherever TensorBoard serves it.
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  // d3-zoom brings all of d3-transition along, for one function.
  resolve: {
    alias: {
      "d3-transition": fileURLToPath(new URL("src/kit/no_transitions.js", import.meta.url)),
    },
  },
  build: {
    // The Python package carries what is built.
    outDir: "../tb_layerview/serving/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    rollupOptions: {
      // Not library mode: that one leaves an ES module's white space in.
      input: "src/index.jsx",
      preserveEntrySignatures: "strict",
      treeshake: { manualPureFunctions: PURE },
      output: { entryFileNames: "index.js", assetFileNames: "index.[ext]" },
    },
  },
  test: {
    include: ["tests/**/*.test.js"],
    environment: "node",
    // What hangs is ended; how long a test takes says nothing on a busy machine.
    testTimeout: 120_000,
  },
});
