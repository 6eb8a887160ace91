import { Alert, Button, Form, Input } from 'antd'
import { useState } from 'react'
import { ApiError, answer, client } from '../api/client.ts'
import { useWords } from '../i18n/language.tsx'

export function SignIn({ onSignedIn }: { readonly onSignedIn: () => void }) {
  const { t } = useWords()
  const [error, setError] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)
  const signIn = async (values: { user: string; password: string }) => {
    setBusy(true)
    try {
      await answer(client.POST('/api/v1/sign-in', { body: values }))
      onSignedIn()
    } catch (failure) {
      setError(failure instanceof ApiError && failure.status === 401 ? t('signInFailed') : (failure as Error).message)
    } finally {
      setBusy(false)
    }
  }
  return (
    <main className="sign-in">
      <h2>{t('signIn')}</h2>
      {error && <Alert type="error" showIcon role="alert" title={error} />}
      <Form layout="vertical" onFinish={values => void signIn(values)}>
        <Form.Item name="user" label={t('user')} rules={[{ required: true }]}>
          <Input autoFocus autoComplete="username" />
        </Form.Item>
        <Form.Item name="password" label={t('password')} rules={[{ required: true }]}>
          <Input.Password autoComplete="current-password" />
        </Form.Item>
        <Button type="primary" htmlType="submit" loading={busy} block>
          {t('signIn')}
        </Button>
      </Form>
      <p className="quiet">{t('signInHint')}</p>
    </main>
  )
}
