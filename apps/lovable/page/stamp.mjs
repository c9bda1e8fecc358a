// Writes what the built files were built from, so that a stale build is noticed without Node.

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

const files = ['index.html', 'package-lock.json', 'package.json', 'tsconfig.json', 'vite.config.ts']
for (const folder of ['public', 'src']) {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) files.push(`${entry.parentPath ?? entry.path}/${entry.name}`)
  }
}
const hash = createHash('sha256')
for (const file of files.sort()) {
  hash.update(`${file}\0`)
  hash.update(readFileSync(file))
  hash.update('\0')
}
writeFileSync('dist/.stamp', `${hash.digest('hex')}\n`)
