import { fileURLToPath } from "node:url";

import { defineConfig } from "vitest/config";

export default defineConfig({
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
    outDir: "../tb_layerview/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    rollupOptions: {
      // Not library mode: that one leaves an ES module's white space in.
      input: "src/index.jsx",
      preserveEntrySignatures: "strict",
      treeshake: {
        // d3-scale-chromatic makes all its schemes when it is loaded: those that nobody asks for are left out.
        manualPureFunctions: ["colors", "ramp", "interpolateCubehelixLong", "cubehelix"],
      },
      output: { entryFileNames: "index.js", assetFileNames: "index.[ext]" },
    },
  },
  test: {
    include: ["tests/**/*.test.js"],
    environment: "node",
  },
});
