import type { Request } from './request.ts'
import type { Job } from './unit.ts'

/** Jobs that have something to send, in the order in which they became due. */
export class ReadyQueue {
  readonly #jobs: Job[] = []

  get isEmpty(): boolean {
    return this.#jobs.length === 0
  }

  add(job: Job, first = false): void {
    if (job.queued || !job.running) return
    job.queued = true
    if (first) this.#jobs.unshift(job)
    else this.#jobs.push(job)
  }

  /** Lets all others go first: what a job of a failing unit has to wait for. */
  toTheEnd(job: Job): void {
    const index = this.#jobs.indexOf(job)
    if (index >= 0) this.#jobs.splice(index, 1)
    job.queued = true
    this.#jobs.push(job)
  }

  /** The next request; jobs that wait for an answer are passed over, those with nothing more to send leave. */
  next(): Request | null {
    for (let at = 0; ; ) {
      const job = this.#jobs[at]
      if (!job) return null
      const request = job.running ? job.next() : null
      if (request) return request
      if (job.running && job.hasMore) at++
      else {
        job.queued = false
        this.#jobs.splice(at, 1)
      }
    }
  }

  /** Takes all jobs out. */
  drain(): Job[] {
    const jobs = this.#jobs.splice(0)
    for (const job of jobs) job.queued = false
    return jobs
  }
}
