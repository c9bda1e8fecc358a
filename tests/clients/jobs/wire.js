// A wire between a worker and the server that a test can cut: nothing passes any more, and nobody
// is told.

import { connect, createServer } from 'node:net'

export class Wire {
  sockets = new Set()

  static async to({ hostname, port }) {
    const wire = new Wire()
    wire.server = createServer((near) => {
      const far = connect(Number(port), hostname)
      for (const [from, to] of [
        [near, far],
        [far, near],
      ]) {
        wire.sockets.add(from)
        from.on('error', () => to.destroy())
        from.on('close', () => to.destroy())
        from.on('data', (data) => {
          if (!wire.isCut) to.write(data)
        })
      }
    })
    await new Promise((resolve) => wire.server.listen(0, '127.0.0.1', resolve))
    wire.url = `http://127.0.0.1:${wire.server.address().port}`
    return wire
  }

  cut() {
    this.isCut = true
  }

  async close() {
    for (const socket of this.sockets) socket.destroy()
    await new Promise((resolve) => this.server.close(resolve))
  }
}
