import { useState } from 'react';
import { useLLMChatSession, type LLMChatTurnResult, type LLMModel } from 'react-native-executorch';

import { facts } from './facts';

export type Turn = { readonly role: 'user' | 'assistant'; readonly text: string };

/** A conversation with the model: its turns, and what can be done with it. */
export function useConversation(model: LLMModel, system: string) {
  const [turns, setTurns] = useState<readonly Turn[]>([]);
  const [answer, setAnswer] = useState<string>();
  const [speed, setSpeed] = useState<number>();
  const [problem, setProblem] = useState<string>();

  const session = useLLMChatSession(model, {
    generationConfig: {
      // The runner returns the prompt with the answer unless it is told not to.
      echo: false,
      temperature: facts.temperature,
      maxNewTokens: facts.maxNewTokens,
    },
    initialMessages:
      system && facts.takesSystemPrompt ? [{ role: 'system', content: system }] : [],
    resetOnTurn: facts.resetOnTurn,
  });

  const ask = async (question: string) => {
    if (!session.sendMessage || answer !== undefined) return;
    const text = facts.normalizes ? question.normalize('NFC') : question;
    let written = '';
    setProblem(undefined);
    setTurns((before) => [...before, { role: 'user', text }]);
    setAnswer('');
    try {
      const { stats } = await session.sendMessage(text, (piece) => {
        if (facts.turnTokens.includes(piece)) return;
        written += piece;
        setAnswer(written);
      });
      setSpeed(tokensPerSecond(stats.at(-1)));
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    } finally {
      if (written) setTurns((before) => [...before, { role: 'assistant', text: written }]);
      setAnswer(undefined);
    }
  };

  return {
    turns,
    /** What was written of the answer so far; undefined: none is being written. */
    answer,
    /** Tokens a second of the last answer, without its first token. */
    speed,
    problem: problem ?? session.error?.message,
    isReady: session.isReady,
    /** Percent. */
    downloadProgress: session.downloadProgress,
    /** Tokens for which the conversation has room. */
    room: answer === undefined ? session.getKVCacheState?.().remainingTokens : undefined,
    ask,
    stop: () => session.stop?.(),
  };
}

function tokensPerSecond(stats: LLMChatTurnResult['stats'][number] | undefined): number | undefined {
  if (!stats || stats.numGeneratedTokens < 2) return undefined;
  const seconds = (stats.inferenceEndMs - stats.firstTokenMs) / 1000;
  return seconds > 0 ? (stats.numGeneratedTokens - 1) / seconds : undefined;
}
