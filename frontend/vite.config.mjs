import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  base: '/static/',
  // Names are hashed here, and only here: Django serves these files as they are (see readerstudy/templatetags/island.py).
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    assetsDir: 'assets',
    manifest: 'manifest.json',
    sourcemap: false, // a .map named but not shipped stops collectstatic
    target: 'es2022',
    modulePreload: { polyfill: false }, // no inline script under the content security policy
    chunkSizeWarningLimit: 4000, // the viewer's library; loaded once for all series
    rollupOptions: {
      input: {
        reading: here('./src/reading/main.ts'),
        intake: here('./src/intake/main.ts'),
        results: here('./src/results/main.ts'),
        measurements: here('./src/measurements/main.ts'),
      },
    },
  },
  resolve: {
    alias: {
      // vtk.js pulls an XML writer that needs Node's `events` and dies in the browser; nothing here writes XML.
      xmlbuilder2: here('./src/shared/xmlbuilder2-stub.ts'),
    },
  },
  worker: { format: 'es' },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
