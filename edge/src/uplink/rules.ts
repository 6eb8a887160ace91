/**
 * Rules of the delivery protocol that a test may switch off, to show that it would notice. Never set outside tests.
 * Missing: the rule holds.
 */
export type DeliveryRules = Partial<
  Record<'sessionNumber' | 'tailCheck' | 'hello' | 'declaredHoles' | 'fsyncBeforePublish', false>
>
