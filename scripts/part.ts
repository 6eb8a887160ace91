import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { sleep, systemTicker } from '@penstock/core/runtime/clock.ts'
import { logLevel } from '@penstock/core/runtime/log.ts'

const root = join(import.meta.dirname, '..')

/** A child that is started again when it dies, until `stop`. */
export class Part {
  readonly name: string
  readonly #args: readonly string[]
  readonly #env: NodeJS.ProcessEnv
  readonly #onEvent: (event: { event: string; url?: string; signIn?: string }) => void
  #child: ChildProcess | undefined
  #stopping = false
  #exited: Promise<void> = Promise.resolve()

  constructor(
    name: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv,
    onEvent: (event: { event: string; url?: string; signIn?: string }) => void = () => {},
  ) {
    this.name = name
    this.#args = args
    this.#env = env
    this.#onEvent = onEvent
  }

  /** Resolves when the part has said that it is ready; rejects when it ends before. */
  start(): Promise<void> {
    return new Promise((ready, failed) => {
      // Standard input stays open while this process lives: a part whose parent was killed sees its end and stops.
      const child = spawn(process.execPath, this.#args, {
        cwd: root,
        env: {
          ...process.env,
          PENSTOCK_STOP_WITH_PARENT: '1',
          PENSTOCK_LOG: logLevel('warn'),
          ...this.#env,
        },
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      this.#child = child
      this.#exited = new Promise(exited => {
        child.once('exit', (code, signal) => {
          exited()
          failed(new Error(`${this.name} ended with ${signal ?? `exit code ${code}`}; its messages stand above`))
          if (!this.#stopping) void this.#again(code, signal)
        })
      })
      createInterface({ input: child.stdout }).on('line', line => {
        if (!line.startsWith('{')) return
        const event = JSON.parse(line) as { event: string; url?: string; signIn?: string }
        this.#onEvent(event)
        if (event.event === 'ready') ready()
      })
    })
  }

  async #again(code: number | null, signal: NodeJS.Signals | null): Promise<void> {
    if (code === 2) return
    console.log(`${this.name} ended (${signal ?? `exit code ${code}`}); starting it again`)
    await sleep(systemTicker, 500)
    if (this.#stopping) return
    await this.start().then(
      () => console.log(`${this.name} is back`),
      () => {},
    )
  }

  /** From now on it may end: Ctrl-C reaches all processes of the terminal at once. */
  expectEnd(): void {
    this.#stopping = true
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#stopping = true
    this.#child?.kill('SIGTERM')
    const cancel = systemTicker.after(deadlineMs, () => this.#child?.kill('SIGKILL'))
    await this.#exited
    cancel()
  }
}
