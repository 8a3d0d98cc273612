import { StatusBar } from 'expo-status-bar';
import { useEffect, useState } from 'react';
import { StyleSheet, Text } from 'react-native';
import type { LLMModel } from 'react-native-executorch';
import { SafeAreaProvider, SafeAreaView } from 'react-native-safe-area-context';

import { Chat } from './Chat';
import { modelFiles } from './modelFiles';

export default function App() {
  const [model, setModel] = useState<LLMModel>();
  const [problem, setProblem] = useState<string>();
  const [system, setSystem] = useState('');
  const [conversation, setConversation] = useState(0);

  useEffect(() => {
    modelFiles().then(setModel, (error: unknown) => setProblem(String(error)));
  }, []);

  const startAnew = (prompt: string) => {
    setSystem(prompt);
    setConversation((n) => n + 1);
  };

  return (
    <SafeAreaProvider>
      <SafeAreaView style={styles.screen}>
        <StatusBar style="auto" />
        {problem !== undefined && <Text style={styles.note}>{problem}</Text>}
        {model !== undefined && (
          // The library reads a session's options once: another key is another session.
          <Chat key={conversation} model={model} system={system} startAnew={startAnew} />
        )}
      </SafeAreaView>
    </SafeAreaProvider>
  );
}

const styles = StyleSheet.create({
  screen: { flex: 1, backgroundColor: '#fff' },
  note: { padding: 16, color: '#b00020' },
});
