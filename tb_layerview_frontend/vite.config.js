import { defineConfig } from "vite";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    // The Python package carries what is built; TensorBoard serves it from there.
    outDir: "../tb_layerview/static",
    emptyOutDir: true,
    target: "es2022",
    reportCompressedSize: true,
    lib: {
      entry: "src/index.jsx",
      formats: ["es"],
      fileName: () => "index.js",
      cssFileName: "index",
    },
  },
  test: {
    include: ["tests/**/*.test.js"],
    environment: "node",
  },
});
