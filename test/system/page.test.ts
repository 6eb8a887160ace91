import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, type Page, chromium as playwright } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { chromium } from '../support/processes.ts'
import { until, World } from '../support/world.ts'

const console_ = join(import.meta.dirname, '../../gateway/web/dist/index.html')
/** pictures for people: `PENSTOCK_PICTURES=folder npm run test:system` */
const pictures = process.env.PENSTOCK_PICTURES

const sizes = [
  { name: 'wide', width: 1440, height: 900 },
  { name: 'phone', width: 390, height: 844 },
] as const
const languages = ['zh', 'en'] as const

describe.skipIf(!chromium)('the console in a browser', () => {
  let world: World
  let browser: Browser
  let storage: Awaited<ReturnType<Awaited<ReturnType<Browser['newContext']>>['storageState']>>
  const complaints: string[] = []

  beforeAll(async () => {
    expect(existsSync(console_), 'the console is built: npm run build').toBe(true)
    world = await World.open({ broker: 'embedded', scenario: 'chlorine-leak' })
    await world.startAll()
    browser = await playwright.launch({
      executablePath: chromium ?? '',
      args: [
        ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
        ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
      ],
    })
    // The address that the gateway printed signs in once.
    const context = await browser.newContext()
    const page = await context.newPage()
    await page.goto(String(world.running.get('gateway')?.ready.signIn))
    await page.getByRole('heading', { level: 2 }).first().waitFor()
    storage = await context.storageState()
    await context.close()
  }, 60_000)

  afterAll(async () => {
    await browser?.close()
    await world?.close()
  })

  async function open(size: (typeof sizes)[number], language: (typeof languages)[number], path = '/'): Promise<Page> {
    const context = await browser.newContext({
      viewport: { width: size.width, height: size.height },
      storageState: storage,
    })
    await context.addInitScript(chosen => localStorage.setItem('penstock.language', chosen), language)
    const page = await context.newPage()
    page.on('console', message => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(`${path}: ${message.text()}`)
    })
    page.on('pageerror', error => complaints.push(`${path}: ${error.message}`))
    await page.goto(`http://127.0.0.1:${world.httpPort}${path}`)
    await page.getByRole('heading', { level: 2 }).first().waitFor()
    return page
  }

  async function picture(page: Page, name: string): Promise<void> {
    if (!pictures) return
    mkdirSync(pictures, { recursive: true })
    await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true })
  }

  const fits = (page: Page) => page.evaluate<boolean>('document.documentElement.scrollWidth <= window.innerWidth')

  it('asks who is there before it shows anything', async () => {
    const context = await browser.newContext()
    const page = await context.newPage()
    await page.goto(`http://127.0.0.1:${world.httpPort}/`)
    await page.getByRole('button', { name: /登\s*录/ }).waitFor()
    expect(await page.getByText('waterworks').count()).toBe(0)
    await picture(page, 'sign-in')
    await context.close()
  })

  it('does not sign in twice by the same address', async () => {
    const context = await browser.newContext()
    const page = await context.newPage()
    await page.goto(String(world.running.get('gateway')?.ready.signIn))
    const me = await page.request.get(`http://127.0.0.1:${world.httpPort}/api/v1/me`)
    expect(me.status()).toBe(401)
    await context.close()
  })

  it('shows live values that move, and the alarm, acknowledged from the keyboard alone', async () => {
    const [wide] = sizes
    const page = await open(wide, 'zh')
    const total = page.locator('[data-tag="waterworks/fm-1/total"] .number')
    await total.waitFor()
    const before = await total.innerText()
    await until('a total that has grown', 30_000, async () => ((await total.innerText()) === before ? undefined : true))

    const alarm = page.locator('li.alarm.unacked[data-alarm*="cl2"]').first()
    await alarm.waitFor({ timeout: 120_000 })
    await picture(page, 'overview-alarm-zh-wide')
    const id = await alarm.getAttribute('data-alarm')
    const same = page.locator(`li.alarm[data-alarm="${id}"]`)
    await until('the alarm acknowledged by Tab and Enter', 60_000, async () => {
      if ((await same.count()) === 0 || (await same.getAttribute('class'))?.includes('acked') !== true) return undefined
      if ((await same.getAttribute('class'))?.includes('unacked') !== true) return true
      await page.locator('body').press('Tab')
      for (let step = 0; step < 60; step++) {
        const focused = await page.locator(`li.alarm[data-alarm="${id}"] button:focus`).count()
        if (focused > 0) break
        await page.keyboard.press('Tab')
      }
      await page.keyboard.press('Enter')
      await new Promise(wait => setTimeout(wait, 500))
      return undefined
    })
    await page.context().close()
  })

  it.each(languages)(
    'shows the alarm that a message links to, in %s, with what the journal says of it',
    async language => {
      const token = readFileSync(join(world.folder, 'api-token'), 'utf8').trim()
      const journal = await fetch(`http://127.0.0.1:${world.httpPort}/api/v1/journal?limit=1000`, {
        headers: { Authorization: `Bearer ${token}` },
      })
      const { records } = (await journal.json()) as { records: { kind: string; alarm: string | null }[] }
      const id = records.findLast(record => record.kind === 'RAISE')?.alarm ?? ''
      for (const size of sizes) {
        const page = await open(size, language, `/alarms/${encodeURIComponent(id)}`)
        await page.locator(`li.alarm[data-alarm="${id}"]`).waitFor()
        await page
          .locator('ul.records')
          .getByText(language === 'zh' ? '发生' : 'raised', { exact: true })
          .first()
          .waitFor()
        expect(await fits(page), 'no sideways scrolling').toBe(true)
        await picture(page, `alarm-${language}-${size.name}`)
        await page.context().close()
      }
    },
  )

  describe.each(sizes)('$name', size => {
    it.each(languages)('fits in %s: overview and device page', async language => {
      const overview = await open(size, language)
      await overview.locator('[data-tag="waterworks/fm-1/total"] .number').waitFor()
      await overview.locator('[data-edge="320706/e01"]').waitFor()
      expect(await overview.locator('html').getAttribute('lang')).toBe(language === 'zh' ? 'zh-CN' : 'en')
      expect(await fits(overview), 'no sideways scrolling').toBe(true)
      await picture(overview, `overview-${language}-${size.name}`)
      await overview.context().close()

      const device = await open(size, language, '/devices/waterworks/cl2-1')
      await device.locator('[data-tag="waterworks/cl2-1/concentration"]').waitFor()
      await device.locator('code.hex').first().waitFor()
      expect(await fits(device), 'no sideways scrolling').toBe(true)
      await picture(device, `device-${language}-${size.name}`)
      await device.context().close()
    })
  })

  it('tells on the device page why a tag is bad', async () => {
    await world.control('POST', '/faults', {
      fault: { kind: 'timeout', site: 'waterworks', device: 'fm-1' },
      forMs: null,
    })
    const page = await open(sizes[0], 'zh', '/devices/waterworks/fm-1')
    await page.getByText('为什么无效').waitFor({ timeout: 60_000 })
    await until('the time-outs counted', 20_000, async () => {
      const counters = await page.locator('.counters').innerText()
      return /timeouts?\D*[1-9]/i.test(counters) ? true : undefined
    })
    await picture(page, 'device-bad-zh-wide')
    await page.context().close()
    await world.control('DELETE', '/faults')
  })

  it('had nothing to complain about', () => {
    expect(complaints).toEqual([])
  })

  it('says loudly when the stream is cut, and goes on by itself', async () => {
    const page = await open(sizes[0], 'zh')
    await page.locator('[data-tag="waterworks/fm-1/total"] .number').waitFor()
    await world.kill('gateway')
    await page.getByText('与网关的连接已中断').waitFor({ timeout: 10_000 })
    await picture(page, 'cut-zh-wide')
    await world.startGateway()
    await page.getByText('与网关的连接已中断').waitFor({ state: 'detached', timeout: 30_000 })
    await page.context().close()
  })
})
