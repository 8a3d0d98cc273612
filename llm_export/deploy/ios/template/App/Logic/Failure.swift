/// ExecuTorch's error codes (runtime/core/error.h).
enum Failure {
  static let invalidArgument = 0x12

  static func explain(_ code: Int, executorch: String) -> String {
    let text: String
    switch code {
    case 0x01: text = "the runtime failed inside"
    case 0x02: text = "the model is not loaded"
    case invalidArgument:
      text = "the program refuses its input; a text may be longer than the context"
    case 0x14: text = "the app's ExecuTorch lacks an operator of the program"
    case 0x20: text = "the app's ExecuTorch lacks a backend of the program"
    case 0x21, 0x25, 0x31: text = "the device has too little memory"
    case 0x22: text = "a file cannot be read"
    case 0x23: text = "the program is damaged, or of a later version than ExecuTorch \(executorch)"
    case 0x24: text = "the program's weights are not there"
    case 0x30: text = "the backend is of another version than ExecuTorch \(executorch)"
    case 0x32: text = "the device's driver refuses the program"
    default: text = "ExecuTorch failed"
    }
    return "Error 0x\(String(code, radix: 16)): \(text)."
  }
}
