import { useRef, useState } from 'react';
import {
  KeyboardAvoidingView,
  Platform,
  Pressable,
  ScrollView,
  StyleSheet,
  Text,
  TextInput,
  View,
} from 'react-native';
import type { LLMModel } from 'react-native-executorch';

import { facts } from './facts';
import { useConversation, type Turn } from './useConversation';

type Props = {
  readonly model: LLMModel;
  readonly system: string;
  /** Ends this conversation and begins one with another system prompt. */
  readonly startAnew: (system: string) => void;
};

export function Chat({ model, system, startAnew }: Props) {
  const chat = useConversation(model, system);
  const [draft, setDraft] = useState('');
  const [prompt, setPrompt] = useState(system);
  const list = useRef<ScrollView>(null);
  const writing = chat.answer !== undefined;
  const asking = chat.isReady && !writing && draft.trim() !== '';

  const send = () => {
    if (!asking) return;
    setDraft('');
    void chat.ask(draft.trim());
  };

  return (
    <KeyboardAvoidingView
      style={styles.screen}
      behavior={Platform.OS === 'ios' ? 'padding' : undefined}
    >
      <View style={styles.bar}>
        {facts.takesSystemPrompt && (
          <TextInput
            style={styles.input}
            accessibilityLabel="System prompt"
            placeholder="System prompt"
            value={prompt}
            onChangeText={setPrompt}
          />
        )}
        <Button title="New" onPress={() => startAnew(prompt.trim())} disabled={writing} />
      </View>
      <ScrollView
        ref={list}
        style={styles.list}
        onContentSizeChange={() => list.current?.scrollToEnd()}
      >
        {chat.turns.map((turn, index) => (
          <Bubble key={index} {...turn} />
        ))}
        {chat.answer !== undefined && <Bubble role="assistant" text={chat.answer || '…'} />}
      </ScrollView>
      {chat.problem !== undefined && <Text style={styles.problem}>{chat.problem}</Text>}
      <Text style={styles.status}>{status(chat)}</Text>
      <View style={styles.bar}>
        <TextInput
          style={styles.input}
          accessibilityLabel="Message"
          placeholder="Message"
          value={draft}
          onChangeText={setDraft}
          onSubmitEditing={send}
          multiline
        />
        {writing ? (
          <Button title="Stop" onPress={chat.stop} />
        ) : (
          <Button title="Send" onPress={send} disabled={!asking} />
        )}
      </View>
    </KeyboardAvoidingView>
  );
}

function status(chat: ReturnType<typeof useConversation>): string {
  if (!chat.isReady) return chat.problem ? '' : `Loading ${chat.downloadProgress.toFixed(0)} %`;
  const parts = [facts.name];
  if (chat.speed !== undefined) parts.push(`${chat.speed.toFixed(1)} tokens/s`);
  if (chat.room !== undefined) parts.push(`${chat.room} of ${facts.contextLength} tokens free`);
  return parts.join(' · ');
}

function Bubble({ role, text }: Turn) {
  return (
    <View style={[styles.bubble, role === 'user' ? styles.mine : styles.its]}>
      <Text selectable>{text}</Text>
    </View>
  );
}

type ButtonProps = {
  readonly title: string;
  readonly onPress: () => void;
  readonly disabled?: boolean;
};

function Button({ title, onPress, disabled = false }: ButtonProps) {
  return (
    <Pressable
      accessibilityRole="button"
      style={[styles.button, disabled && styles.off]}
      onPress={onPress}
      disabled={disabled}
    >
      <Text style={styles.title}>{title}</Text>
    </Pressable>
  );
}

const styles = StyleSheet.create({
  screen: { flex: 1 },
  bar: { flexDirection: 'row', alignItems: 'flex-end', gap: 8, padding: 8 },
  input: {
    flex: 1,
    maxHeight: 120,
    borderWidth: 1,
    borderColor: '#bbb',
    borderRadius: 8,
    paddingHorizontal: 12,
    paddingVertical: 8,
    color: '#111',
  },
  list: { flex: 1, paddingHorizontal: 8 },
  bubble: { maxWidth: '85%', marginVertical: 4, padding: 10, borderRadius: 12 },
  mine: { alignSelf: 'flex-end', backgroundColor: '#d7e8ff' },
  its: { alignSelf: 'flex-start', backgroundColor: '#eee' },
  problem: { paddingHorizontal: 12, color: '#b00020' },
  status: { paddingHorizontal: 12, color: '#666', fontSize: 12 },
  button: { backgroundColor: '#0b57d0', borderRadius: 8, paddingHorizontal: 16, paddingVertical: 10 },
  off: { opacity: 0.4 },
  title: { color: '#fff', fontWeight: '600' },
});
