import { benches, isBench } from './benches.ts'

// One benchmark in a process of its own: its memory and processor time are nobody else's. The rows go to the parent.
const name = process.argv[2] ?? ''
if (!isBench(name)) throw new RangeError(`there is no benchmark ${name}`)
const rows = await benches[name]()
process.send?.(rows, () => process.exit(0))
