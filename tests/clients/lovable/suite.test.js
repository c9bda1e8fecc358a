// A person in a browser: prompt, running preview, second prompt, back, zip; and the same with the
// server killed while the model writes and while packages are installed.

import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import puppeteer from 'puppeteer-core'
import { Provider } from './provider.js'
import { Server } from './server.js'

/** For what must come: packages are fetched at the first time, on whatever machine this is. */
const PATIENCE = 240_000
const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium'
/** Where pictures go, if somebody wants to look. */
const PICTURES = process.env.LOVABLE_PICTURES

let provider
let server
let browser
const violations = []

before(async () => {
  provider = await Provider.start()
  server = await Server.create(provider)
  browser = await puppeteer.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--force-color-profile=srgb'],
    defaultViewport: { width: 1440, height: 900 },
    protocolTimeout: PATIENCE,
  })
  if (PICTURES) mkdirSync(PICTURES, { recursive: true })
})

after(async () => {
  await browser?.close()
  await server?.remove()
  await provider?.stop()
})

async function newPage() {
  const context = await browser.createBrowserContext()
  const page = await context.newPage()
  page.setDefaultTimeout(PATIENCE)
  page.on('console', (message) => {
    if (/Content Security Policy|Trusted/.test(message.text())) violations.push(message.text())
  })
  page.on('pageerror', (error) => violations.push(String(error)))
  return page
}

async function picture(page, name) {
  if (!PICTURES) return
  for (const scheme of ['light', 'dark']) {
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }])
    await page.screenshot({ path: join(PICTURES, `${name}-${scheme}.png`) })
  }
  await page.emulateMediaFeatures([])
}

let people = 0

async function signUp(page) {
  await page.goto(`${server.url}/lovable`)
  people += 1
  await page.locator('input[type=email]').fill(`somebody-${people}@example.test`)
  await page.locator('input[type=password]').fill('correct horse battery')
  if (people === 1) await picture(page, 'sign-in')
  await page.locator('button[type=submit]').click()
  await page.waitForSelector('::-p-text(What do you want to build?)')
}

async function send(page, text) {
  await page.locator('textarea').fill(text)
  await page.locator('button[aria-label=Send]').click()
}

const until = (page, text) => page.waitForSelector(`::-p-text(${text})`)

/** The app inside the preview, once it says this. */
async function preview(page, text) {
  const deadline = Date.now() + PATIENCE
  for (;;) {
    const element = await page.$('iframe')
    const frame = await element?.contentFrame().catch(() => null)
    const said = await frame?.evaluate(() => document.body.innerText).catch(() => '')
    if (said?.includes(text)) return frame
    if (Date.now() > deadline) {
      const shown = await page.evaluate(() => document.body.innerText)
      throw new Error(`the preview never says ${text}; it says ${said}; the page:\n${shown}\n${server.output.slice(-4000)}`)
    }
    await new Promise((done) => setTimeout(done, 200))
  }
}

const tab = (page, name) => page.locator(`#tab-${name}`).click()

/** Asks the app as the page does. */
const ask = (page, path) =>
  page.evaluate(async (path) => {
    const { access_token } = JSON.parse(localStorage.getItem('lovable.auth'))
    const response = await fetch(`/lovable/api/${path}`, { headers: { authorization: `Bearer ${access_token}` } })
    const bytes = new Uint8Array(await response.arrayBuffer())
    return { status: response.status, bytes: [...bytes] }
  }, path)

const session = (page) => /\/s\/([0-9a-f-]+)/.exec(page.url())[1]

async function state(page) {
  const { bytes } = await ask(page, `sessions/${session(page)}`)
  return JSON.parse(Buffer.from(bytes).toString())
}

test('a prompt becomes a running app, a second one changes it, and the first comes back', async () => {
  const page = await newPage()
  await signUp(page)
  await picture(page, 'home')
  const paid = provider.paid
  const held = provider.hold('coder')
  await send(page, 'A counter')
  await held
  await tab(page, 'Code')
  await until(page, 'Being written')
  await picture(page, 'writing')
  provider.go()
  await tab(page, 'Preview')
  await picture(page, 'building')
  const first = await preview(page, 'Version 1')
  await first.locator('button').click()
  await first.waitForFunction(() => document.querySelector('output').innerText === '1')
  assert.notEqual(new URL(first.url()).host, new URL(server.url).host, 'an origin of its own')
  await until(page, 'Version 1')
  await picture(page, 'preview')

  await send(page, 'Make it green')
  await preview(page, 'Version 2')
  await page.waitForFunction(() => document.querySelectorAll('.turn.completed').length === 2)
  for (const name of ['Code', 'Steps', 'Log', 'Versions']) {
    await tab(page, name)
    await new Promise((done) => setTimeout(done, 400))
    await picture(page, name.toLowerCase())
  }
  await page.locator('::-p-aria(Restore Version 1: A counter)').click()
  await tab(page, 'Preview')
  await preview(page, 'Version 1')

  const zip = await ask(page, `sessions/${session(page)}/zip`)
  assert.equal(zip.status, 200)
  const text = Buffer.from(zip.bytes).toString('latin1')
  assert.ok(text.startsWith('PK') && text.includes('src/App.tsx') && text.includes('Version 1'))
  assert.equal(provider.paid - paid, 4, 'two turns, two calls each')
  // Narrow, as on a phone.
  await page.setViewport({ width: 390, height: 800 })
  await picture(page, 'phone')
  assert.deepEqual(violations, [])
})

test('the server is killed while the model writes: it is finished, paid once, and the page catches up', async () => {
  const page = await newPage()
  await signUp(page)
  const [paid, asked] = [provider.paid, provider.asked('coder')]
  const held = provider.hold('coder')
  await send(page, 'A counter that survives')
  await held
  const url = page.url()
  await server.kill()
  provider.go()
  await server.start()
  assert.equal(page.url(), url)
  await preview(page, 'Version')
  await page.waitForFunction(() => document.querySelectorAll('.turn.completed').length === 1)
  assert.equal(provider.paid - paid, 2, 'no call was paid twice')
  assert.equal(provider.asked('coder') - asked, 2, 'the coder was asked again, with the same key')
  const now = await state(page)
  assert.deepEqual(now.messages.map((message) => message.role), ['user', 'assistant'])
  assert.equal(now.checkpoints.length, 1)
})

test('the server is killed while packages are installed: it is finished', async () => {
  const page = await newPage()
  await signUp(page)
  const paid = provider.paid
  provider.packageJson = JSON.stringify({
    name: 'app',
    private: true,
    type: 'module',
    scripts: { dev: 'vite', build: 'vite build' },
    dependencies: { react: '^19.0.0', 'react-dom': '^19.0.0', clsx: '^2.1.1' },
    devDependencies: { '@vitejs/plugin-react': '^4.7.0', typescript: '^5.8.0', vite: '^6.4.0' },
  })
  await send(page, 'A counter with a package')
  await page.waitForFunction(() =>
    [...document.querySelectorAll('.steps li.running')].some((one) => one.innerText.includes('Install')),
  )
  await server.kill()
  provider.packageJson = ''
  await server.start()
  await preview(page, 'Version')
  await page.waitForFunction(() => document.querySelectorAll('.turn.completed').length === 1)
  const now = await state(page)
  const install = now.turns.at(-1).steps.find((step) => step.name === 'install')
  assert.equal(install.state, 'completed')
  assert.equal(provider.paid - paid, 2)
})

test("the original's socket tells a turn in its own frames, and a second one catches up", async () => {
  const page = await newPage()
  await signUp(page)
  const talk = (name, prompt) =>
    page.evaluate(
      (name, prompt) =>
        new Promise((done, fail) => {
          const { access_token } = JSON.parse(localStorage.getItem('lovable.auth'))
          const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/ws?auth_token=${access_token}`)
          const frames = []
          const send = (type, data) =>
            socket.send(JSON.stringify({ id: crypto.randomUUID(), type, data, timestamp: Date.now() }))
          socket.onopen = () => send('init', { session_id: name })
          socket.onerror = () => fail(new Error('the socket broke'))
          socket.onmessage = (message) => {
            const frame = JSON.parse(message.data)
            frames.push(frame)
            if (frame.type === 'init' && prompt) send('user', { session_id: name, text: prompt })
            if (frame.type === 'preview_ready' || frame.type === 'build_error' || (frame.type === 'init' && !prompt)) {
              send('load_code', { session_id: name })
              send('dance', {})
            }
            if (frame.type === 'error') {
              socket.close(1000)
              done(frames)
            }
          }
        }),
      name,
      prompt,
    )
  const name = '7c5f1d4e-0000-4000-8000-000000000001'
  const frames = await talk(name, 'A counter by socket')
  const kinds = frames.map((frame) => frame.type).filter((kind, n, all) => kind !== all[n - 1])
  assert.deepEqual(
    kinds.filter((kind) => kind !== 'build_progress'),
    [
      'init', 'update_in_progress', 'agent_partial', 'agent_final', 'update_file', 'update_completed', 'build_started',
      'build_completed', 'preview_ready', 'load_code', 'error',
    ],
  )
  assert.equal(frames[0].data.exists, false)
  assert.ok(frames.every((frame) => frame.session_id === name && Number.isInteger(frame.timestamp) && frame.id))
  const ids = new Set(frames.filter((frame) => frame.type.startsWith('agent')).map((frame) => frame.id))
  assert.equal(ids.size, 1)
  assert.equal(frames.at(-1).error, 'Unknown message type: dance')
  const code = frames.find((frame) => frame.type === 'load_code').data
  assert.ok(code.code_map['App.tsx'].includes('Counter') && JSON.parse(code.package_json).name)
  const again = await talk(name, null)
  assert.equal(again[0].data.exists, true)
  assert.match(again[0].data.url, /^http:\/\/5173-/)
})
