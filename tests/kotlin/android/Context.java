package android.content;

public abstract class Context {
    public abstract java.io.File getNoBackupFilesDir();

    public abstract android.content.res.AssetManager getAssets();
}
