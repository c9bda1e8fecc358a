import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

// Names stay the same from build to build: the server knows them, and a small
// change touches few files.
export default defineConfig({
  base: '/lovable/',
  plugins: [react()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    cssCodeSplit: false,
    rollupOptions: {
      output: {
        entryFileNames: 'assets/app.js',
        assetFileNames: 'assets/app[extname]',
      },
    },
  },
})
