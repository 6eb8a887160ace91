import { type ChildProcess, fork } from 'node:child_process'

/** What a helper process can be asked to do; arguments and answers are plain data. */
export type Duties = Readonly<Record<string, (argument: never) => unknown>>

interface Request {
  readonly id: number
  readonly duty: string
  readonly argument: unknown
}

type Answer = { readonly id: number } & ({ readonly value: unknown } | { readonly error: string })

/** A process of its own beside the one that measures, so that its CPU and memory do not count; ends with its parent. */
export interface Role {
  readonly pid: number
  call<T>(duty: string, argument?: unknown): Promise<T>
  stop(): Promise<void>
}

/** In the helper process: does what it is asked until the parent goes. */
export function serve(duties: Duties): void {
  process.on('disconnect', () => process.exit(0))
  process.on('message', ({ id, duty, argument }: Request) => {
    const run = duties[duty] as ((argument: unknown) => unknown) | undefined
    Promise.resolve()
      .then(() => {
        if (!run) throw new RangeError(`nobody does ${duty}`)
        return run(argument)
      })
      .then(
        value => process.send?.({ id, value } satisfies Answer),
        (error: unknown) => process.send?.({ id, error: String(error instanceof Error ? error.stack : error) }),
      )
  })
}

/** In the measuring process: starts `file`, which calls `serve`. */
export function startRole(file: string): Role {
  const child: ChildProcess = fork(file, [], {
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  let last = 0
  let ended: Error | undefined
  const exited = new Promise<void>(resolve =>
    child.once('exit', (code, signal) => {
      ended = new Error(`${file} ended with ${signal ?? code}`)
      for (const { reject } of waiting.values()) reject(ended)
      waiting.clear()
      resolve()
    }),
  )
  child.on('message', (answer: Answer) => {
    const call = waiting.get(answer.id)
    waiting.delete(answer.id)
    if ('error' in answer) call?.reject(new Error(answer.error))
    else call?.resolve(answer.value)
  })
  return {
    pid: child.pid ?? -1,
    call: <T>(duty: string, argument?: unknown) =>
      new Promise<T>((resolve, reject) => {
        if (ended) return reject(ended)
        const id = ++last
        waiting.set(id, { resolve: value => resolve(value as T), reject })
        child.send({ id, duty, argument } satisfies Request)
      }),
    stop: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}
