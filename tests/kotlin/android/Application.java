package android.app;

public class Application extends android.content.Context {
    public java.io.File getNoBackupFilesDir() {
        return null;
    }

    public android.content.res.AssetManager getAssets() {
        return null;
    }
}
